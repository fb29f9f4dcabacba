"""`icmbench share`: what it holds, and another run's `codec: folder` that reads it."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml
from test_elsewhere import make_results

from icmbench.cli import main
from icmbench.config.load import complete
from icmbench.config.models import coding_settings
from icmbench.core.errors import ConfigError, MeasurementError
from icmbench.datasets.records import Record
from icmbench.evaluation import archive
from icmbench.evaluation.decode import decode_shard
from icmbench.evaluation.imported import import_shard
from icmbench.evaluation.shard import DECODED, make_codec_entry, read_rows, write_rows
from icmbench.transfer.share import point_folders, share_results

CODECS: dict[str, Any] = {
    "webp": {"points": [{"quality": [10, 60]}, {"quality": 10, "scale": 0.5}]},
    "planes": {"codec": "raw-test", "points": [{"planes": [1, 2, 3]}]},  # embedded
    "identity": {"points": [{}]},  # its streams are PNG files themselves
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = make_results(tmp_path_factory.mktemp("run") / "results", CODECS, shards=2)
    (results / "tables").mkdir()
    (results / "tables" / "rd.csv").write_text("dataset,codec\n")
    (results / "datasets" / "mine" / "manifest.csv").write_text("image\n")
    return results


@pytest.fixture(scope="module")
def shared(run: Path) -> Path:
    out = run.parent / "out" / "ours"
    share_results(run, out)
    return out


def measured(results: Path, family: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Bytes and digest by codec spec and image, as the run has them."""
    files = sorted((results / "decoded" / "mine" / family).glob("*.csv"))
    rows = [row for file in files for row in read_rows(file, DECODED)]
    return {(row["codec"], row["image"]): (row["bytes"], row["digest"]) for row in rows}


@pytest.mark.parametrize("dataset", ["mine", "renamed"])
def test_another_run_reads_the_same_bytes_and_pixels(
    run: Path, shared: Path, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shared.parent)  # paths of its config.yaml start there
    theirs = yaml.safe_load((shared / "config.yaml").read_text())
    assert set(theirs["codecs"]) == {"shared-webp", "shared-planes", "shared-identity"}
    if dataset == "renamed":  # a data set of another name: the path goes one folder deeper
        for entry in theirs["codecs"].values():
            entry["path"] += "/mine"
    config = complete({"datasets": {dataset: {"type": "folder", "path": "."}}, **theirs})
    records = [Record(f"i{number}", "", "", 48, 40) for number in range(3)]
    for name in theirs["codecs"]:
        entry = make_codec_entry(name, coding_settings(config, name))
        files = {suffix: tmp_path / f"{name}.{suffix}" for suffix in ("zip", "csv", "t")}
        import_shard(
            entry, dataset, records, streams=files["zip"], status=files["csv"], timing=files["t"]
        )
        decoded = tmp_path / f"{name}.decoded.csv"
        decode_shard(
            entry, dataset, streams=files["zip"], encoded=files["csv"], status=decoded,
            pictures=tmp_path / f"{name}.pictures.zip", timing=files["t"],
        )  # fmt: skip
        family = name.removeprefix("shared-")
        points = pd.read_csv(shared / "codecs" / family / "points.csv")
        spec_of = {f"{name}:point={p}": c for p, c in points.itertuples(index=False)}
        found = {
            (spec_of[row["codec"]], row["image"]): (row["bytes"], row["digest"])
            for row in read_rows(decoded, DECODED)
            if row["status"] == "ok"
        }
        expected = measured(run, family)
        assert found == expected
        assert len(found) == 3 * len(points)


def test_files_are_the_decoded_ones(run: Path, shared: Path) -> None:
    home = shared / "codecs"
    sizes = pd.read_csv(home / "planes" / "mine" / "bytes.csv")
    for point, image, size in sizes.itertuples(index=False):
        assert (home / "planes" / "mine" / point / f"{image}.icb").stat().st_size == size
    by_point = sizes.groupby("point")["bytes"].sum()
    assert by_point["raw-test-planes1"] < by_point["raw-test-planes2"] < by_point["raw-test"]
    assert (home / "identity" / "mine" / "identity" / "i0.png.bin").read_bytes()[1:4] == b"PNG"
    assert (home / "webp" / "mine" / "webp-quality10-scale0.5" / "i1.webp-scaled").is_file()
    assert (shared / "tables" / "rd.csv").is_file()
    assert (shared / "datasets" / "mine" / "manifest.csv").is_file()
    assert json.loads((shared / "provenance.json").read_text())["config"]["codecs"]
    assert "ours/config.yaml" in (shared / "README.md").read_text()


def test_a_tar_holds_the_same(run: Path, shared: Path, tmp_path: Path) -> None:
    tars = [tmp_path / name / "ours.tar" for name in ("a", "b")]
    for tar in tars:
        assert main(["share", str(run), "-o", str(tar), "--codec", "webp"]) == 0
    assert tars[0].read_bytes() == tars[1].read_bytes()
    with tarfile.open(tars[0]) as opened:
        opened.extractall(tmp_path / "x", filter="data")
    trees = [
        {f.relative_to(top): f.read_bytes() for f in top.rglob("*") if f.is_file()}
        for top in (shared, tmp_path / "x" / "ours")
    ]
    assert set(trees[0]) > set(trees[1])
    del trees[1][Path("config.yaml")]  # of this entry alone
    assert {path: trees[0][path] for path in trees[1]} == trees[1]
    assert sum("webp" in path.parts for path in trees[1]) == 9 * 2 + 2


def test_a_part(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "part"
    assert main(["share", str(run), "-o", str(out), "--codec", "webp"]) == 0
    said = capsys.readouterr().out
    assert "webp: 9 reconstructions" in said
    assert [folder.name for folder in (out / "codecs").iterdir()] == ["webp"]
    assert main(["share", str(run), "-o", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="unknown codec entry 'wepb'"):
        share_results(run, tmp_path / "x", codecs=["wepb"])


def test_what_was_made_elsewhere_is_left_out(
    run: Path, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    shutil.copytree(run, results)
    told = json.loads((results / "provenance.json").read_text())
    points = [{"point": ["webp-quality10"]}]
    path = str(shared / "codecs" / "webp")
    told["config"]["codecs"]["theirs"] = {"codec": "folder", "path": path, "points": points}
    (results / "provenance.json").write_text(json.dumps(told))
    assert main(["share", str(results), "-o", str(tmp_path / "out")]) == 0
    assert "theirs: left out" in capsys.readouterr().out
    assert not (tmp_path / "out" / "codecs" / "theirs").exists()


def test_only_points_that_were_coded_are_listed(run: Path, tmp_path: Path) -> None:
    """Of data sets that are coded at some points, by some entries; and where all images failed."""
    results = tmp_path / "results"
    shutil.copytree(run, results)
    told = json.loads((results / "provenance.json").read_text())
    chosen = {"webp": [{"quality": 60}], "planes": "all"}
    told["config"]["datasets"]["mine"]["codecs"] = chosen
    (results / "provenance.json").write_text(json.dumps(told))
    for file in (results / "decoded" / "mine").glob("*/*.csv"):
        rows = [row for row in read_rows(file, DECODED) if "quality=10" not in row["codec"]]
        for row in rows:
            if row["codec"] == "raw-test:planes=1":
                row |= {"status": "decode-failed", "digest": ""}
        write_rows(file, DECODED, rows)
    share_results(results, tmp_path / "ours")
    theirs = yaml.safe_load((tmp_path / "ours" / "config.yaml").read_text())["codecs"]
    assert {name: entry["points"][0]["point"] for name, entry in theirs.items()} == {
        "shared-webp": ["webp-quality60"],
        "shared-planes": ["raw-test-planes2", "raw-test"],
    }
    for name in ("webp", "planes"):  # what another run's check looks for
        home = tmp_path / "ours" / "codecs" / name
        listed = theirs[f"shared-{name}"]["points"][0]["point"]
        assert sorted(listed) == sorted(f.name for f in (home / "mine").iterdir() if f.is_dir())
        assert list(pd.read_csv(home / "points.csv")["point"]) == listed
    with pytest.raises(ConfigError, match="no streams of identity on mine"):
        share_results(results, tmp_path / "x", datasets=["mine"], codecs=["identity"])


def test_every_point_has_a_folder_of_its_own() -> None:
    specs = ["x:mode=a b", "x:mode=a_b", "x:mode=A_B", "x:mode=c"]
    points = tuple(SimpleNamespace(spec=spec) for spec in specs)
    found = point_folders(SimpleNamespace(points=points))  # type: ignore[arg-type]
    assert found == dict(
        zip(specs, ["x-modea_b", "x-modea_b_2", "x-modeA_B_3", "x-modec"], strict=True)
    )


@pytest.mark.parametrize("name", ["ours.tar.gz", "ours.tgz", "ours.zip", "ours.TAR"])
def test_archives_of_other_kinds_are_refused(run: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"name a folder or a file that ends in \.tar"):
        share_results(run, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_failed_image_is_left_out(run: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(run, results)
    file = next(iter(sorted((results / "decoded" / "mine" / "webp").glob("*.csv"))))
    rows = read_rows(file, DECODED)
    rows[0] |= {"status": "decode-failed", "digest": ""}
    write_rows(file, DECODED, rows)
    assert share_results(results, tmp_path / "out", codecs=["webp"]).counts == {"webp": 8}


def test_other_pixels_or_sizes_are_not_shared(run: Path, tmp_path: Path) -> None:
    """Nothing is written where the files are not those that were measured."""
    results = tmp_path / "results"
    shutil.copytree(run, results)
    file = next(iter(sorted((results / "decoded" / "mine" / "webp").glob("*.csv"))))
    rows = read_rows(file, DECODED)
    first = rows[0]
    for change, words in (
        ({"digest": "0" * 16}, "is not the reconstruction that was measured"),
        ({"bytes": "7"}, "bytes, measured were 7"),
        ({"codec": "webp:quality=11"}, "webp:quality=11 is no point of webp now"),
    ):
        write_rows(file, DECODED, [{**first, **change}, *rows[1:]])
        for out in (tmp_path / "out", tmp_path / "out.tar"):
            with pytest.raises(MeasurementError, match=words):
                share_results(results, out, codecs=["webp"])
    file.unlink()
    with pytest.raises(MeasurementError, match="the run is not finished"):
        share_results(results, tmp_path / "out", codecs=["webp"])
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_kept_reconstructions_are_taken(run: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(run, results)
    with archive.create(results / "reconstructions" / "mine" / "identity" / "0.zip"):
        pass  # as if kept, and empty
    with pytest.raises(MeasurementError, match=r"reconstructions/mine/identity/0.zip: the member"):
        share_results(results, tmp_path / "out", codecs=["identity"])
