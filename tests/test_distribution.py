"""FID and KID in a run: features of shards, the table and its refusals, figures, planning."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from running import snakemake, succeed
from test_distances import folder  # noqa: F401  # a fixture: a weight file

from icmbench.config.plan import Plan
from icmbench.config.run import announcements, make_run
from icmbench.config.targets import absent_targets
from icmbench.core.errors import ConfigError, MeasurementError
from icmbench.core.files import write_parquet
from icmbench.core.images.image_files import write_png
from icmbench.core.typed_csv import read_table
from icmbench.datasets.records import Record, write_records
from icmbench.evaluation import archive
from icmbench.evaluation import patch_features as shard
from icmbench.evaluation.shard import DECODED, write_rows
from icmbench.jobs.distribution_table import distribution_table
from icmbench.jobs.patch_distances import patch_distances
from icmbench.jobs.patch_features import patch_features, patch_features_originals
from icmbench.metrics import weights as files
from icmbench.metrics.distribution import fit_gaussian, frechet_distance, unbiased_mmd
from icmbench.metrics.patches import patches
from icmbench.reporting.figures.fid import fid_figure

SIZES = {"a": (512, 512), "b": (512, 600), "c": (300, 256), "d": (100, 90), "e": (256, 512)}
COUNTS = {"a": 5, "b": 5, "c": 1, "d": 0, "e": 2}
SPECS = ("x:q=1", "x:q=2", "y:q=1")


def picture(name: str, noise: int = 0) -> np.ndarray:
    """An original, or a reconstruction of it with noise."""
    draws = np.random.default_rng(ord(name))
    base = draws.integers(0, 200, (*SIZES[name], 3))
    return np.clip(base + np.random.default_rng(noise).integers(0, noise + 1), 0, 255).astype(
        "uint8"
    )


def means(cut: np.ndarray) -> np.ndarray:
    """Features of patches: means and deviations of their channels."""
    values = cut.astype(float) / 64
    return np.concatenate([values.mean(axis=(1, 2)), values.std(axis=(1, 2))], axis=1)


def records(names: str) -> list[Record]:
    return [Record(n, f"{n}.png", width=SIZES[n][1], height=SIZES[n][0]) for n in names]


def noise_of(spec: str) -> int:
    return {"x:q=1": 40, "x:q=2": 0, "y:q=1": 20}[spec]


def make_shard(
    place: Path, names: str, specs: tuple[str, ...], failed: dict[tuple[str, str], str]
) -> None:
    """Originals and decoded reconstructions; the kind of a failure by codec spec and image."""
    place.mkdir(parents=True, exist_ok=True)
    for name in names:
        write_png(place / f"{name}.png", picture(name))
    rows = []
    with archive.create(place / "pictures.zip") as out:
        for spec in specs:
            for name in names:
                kind = failed.get((spec, name), "")
                image = picture(name, noise_of(spec))
                member = archive.picture_member(spec, name)
                if kind == "damaged":
                    out.add(member, b"no PNG")
                elif kind != "failed":
                    out.add_image(member, image[:-1] if kind == "size" else image, compress=False)
                status = "decode-failed" if kind == "failed" else "ok"
                rows.append(dict.fromkeys(DECODED, "")
                            | {"codec": spec, "image": name, "status": status})  # fmt: skip
    write_rows(place / "decoded.csv", DECODED, rows)


def features(place: Path, names: str = "abcde", specs: tuple[str, ...] = SPECS,
             failed: dict[tuple[str, str], str] | None = None) -> dict[str, Path]:  # fmt: skip
    """Files of features of a shard, with `means` in place of the network."""
    make_shard(place, names, specs, failed or {})
    shard.write_originals(records(names), place, means, place / "originals.npz")
    shard.write_reconstructions(
        records(names), place / "pictures.zip", place / "decoded.csv", means, place / "codec.npz"
    )
    return {"originals": place / "originals.npz", "features": place / "codec.npz"}


def measured(
    failed: dict[tuple[str, str], str] | None = None, names: str = "abcde"
) -> pd.DataFrame:
    rows = []
    for spec in SPECS:
        for number, name in enumerate(names):
            height, width = SIZES[name]
            row: dict[str, Any] = {
                "dataset": "d", "image": name, "family": spec[0], "codec": spec, "width": width,
                "height": height, "status": "ok", "bytes": 1000 * (number + 1), "psnr_rgb": 30.0,
            }  # fmt: skip
            row["bpp"] = 8 * row["bytes"] / (width * height)
            if (spec, name) in (failed or {}):
                row |= {"status": "failed", "bytes": pd.NA, "bpp": np.nan, "psnr_rgb": np.nan}
            rows.append(row)
    return pd.DataFrame(rows).astype({"bytes": "Int64"})


def distances(
    place: Path, rows: pd.DataFrame, shards: list[dict[str, Path]], minimum: int = 2,
    codec: str = "x", max_failed: float = 0.5,
) -> pd.DataFrame:  # fmt: skip
    write_parquet(place / "m.parquet", rows)
    patch_distances(
        "d", codec, metrics=["psnr_rgb"], minimum=minimum,
        comparison={"max_failed": max_failed}, measurements=[place / "m.parquet"],
        originals=[one["originals"] for one in shards],
        features=[one["features"] for one in shards], distances=place / f"{codec}.csv",
    )  # fmt: skip
    return read_table(place / f"{codec}.csv").set_index("codec")


def stored(names: str, spec: str | None = None) -> np.ndarray:
    """Features of the patches of images, as they are stored."""
    noise = 0 if spec is None else noise_of(spec)
    parts = [means(patches(picture(name, noise))) for name in names]
    return np.concatenate(parts).astype(np.float16).astype(float)


# Table.


def test_values_are_those_of_the_patches_of_the_compared_images(tmp_path: Path) -> None:
    files_ = features(tmp_path)
    table = distances(tmp_path, measured(), [files_])
    assert list(table.index) == ["x:q=1", "x:q=2"]
    assert set(table["patches"]) == {13}
    assert set(table["images"]) == {4}  # d is smaller than a patch
    assert set(table["status"]) == {"ok"}
    sizes = [512 * 512, 512 * 600, 300 * 256, 256 * 512]
    rates = [8000 * n / size for n, size in zip((1, 2, 3, 5), sizes, strict=True)]
    assert table["bpp"].to_numpy() == pytest.approx(np.mean(rates), rel=1e-5)
    ours, theirs = stored("abce"), stored("abce", "x:q=1")
    expected = frechet_distance(fit_gaussian(ours), fit_gaussian(theirs))
    assert table.loc["x:q=1", "fid"] == pytest.approx(expected, rel=1e-3)
    assert table.loc["x:q=1", "kid"] == pytest.approx(unbiased_mmd(ours, theirs), rel=1e-3)
    assert table.loc["x:q=2", "fid"] == pytest.approx(0, abs=1e-5)
    assert expected > 0.01


def test_shards_change_nothing(tmp_path: Path) -> None:
    whole = distances(tmp_path, measured(), [features(tmp_path)])
    parts = [features(tmp_path / name, name) for name in ("ad", "bce")]
    again = distances(tmp_path, measured(), parts)
    pd.testing.assert_frame_equal(whole, again)
    assert (
        features(tmp_path / "2")["features"].read_bytes() == (tmp_path / "codec.npz").read_bytes()
    )


def test_an_image_that_one_codec_failed_on_is_left_out_for_all(tmp_path: Path) -> None:
    failed = {("y:q=1", "b"): "failed"}
    table = distances(tmp_path, measured(failed), [features(tmp_path, failed=failed)])
    assert set(table["patches"]) == {8}
    assert set(table["images"]) == {3}
    expected = frechet_distance(*(fit_gaussian(stored("ace", s)) for s in (None, "x:q=1")))
    assert table.loc["x:q=1", "fid"] == pytest.approx(expected, rel=1e-3)


def test_a_codec_spec_that_failed_on_many_has_no_value(tmp_path: Path) -> None:
    failed = {
        ("x:q=2", name): kind
        for name, kind in zip("abc", ("failed", "damaged", "size"), strict=True)
    }
    table = distances(tmp_path, measured(failed), [features(tmp_path, failed=failed)])
    assert list(table["patches"]) == [13, 0]
    assert table.loc["x:q=2", "status"] == "failed on 3 images: not compared"
    assert np.isnan(table.loc["x:q=2", "fid"])
    assert np.isfinite(table.loc["x:q=1", "fid"])


def test_too_few_patches_have_no_value(tmp_path: Path) -> None:
    files_ = [features(tmp_path)]
    assert np.isfinite(distances(tmp_path, measured(), files_, minimum=13)["fid"]).all()
    table = distances(tmp_path, measured(), files_, minimum=14)
    assert table[["fid", "kid", "kid_std"]].isna().all(axis=None)
    assert set(table["status"]) == {"13 patches of 256 x 256, fewer than distribution.minimum: 14"}
    assert set(table["patches"]) == {13}
    none = distances(tmp_path, measured(names="d"), files_)
    assert none["bpp"].isna().all()
    assert set(none["images"]) == {0}


def test_features_of_other_reconstructions_are_an_error(tmp_path: Path) -> None:
    files_ = features(tmp_path, failed={("x:q=1", "b"): "damaged"})
    with pytest.raises(MeasurementError, match=r"x:q=1 has features of 8 patches.*have 13"):
        distances(tmp_path, measured(), [files_])
    files_["originals"].write_bytes(b"PK")
    with pytest.raises(MeasurementError, match=r"originals\.npz: no file of patch features"):
        distances(tmp_path, measured(), [files_])


# Jobs.


@pytest.mark.usefixtures("folder")
def test_the_jobs_run_the_network(tmp_path: Path, folder: Path) -> None:  # noqa: F811
    make_shard(tmp_path, "cd", ("x:q=2",), {})
    write_records(tmp_path / "records.csv", records("cd"))
    given: dict[str, Any] = {
        "weights": str(folder), "device": "cpu", "split": "test",
        "records": tmp_path / "records.csv",
    }  # fmt: skip
    ours, theirs = tmp_path / "o.npz", tmp_path / "x.npz"
    patch_features_originals(**given, images=tmp_path, features=ours)
    patch_features(
        **given, pictures=tmp_path / "pictures.zip", decoded=tmp_path / "decoded.csv",
        features=theirs,
    )  # fmt: skip
    one = shard.read_features([ours], shard.ORIGINALS, ["c", "d"])
    assert one.shape == (1, 2048)
    assert one.dtype == np.float16
    assert np.ptp(one) > 0
    # The reconstruction equals the original.
    np.testing.assert_array_equal(one, shard.read_features([theirs], "x:q=2", ["c"]))
    assert shard.read_features([theirs], "x:q=2", ["d"]).shape[0] == 0


def test_the_table_and_the_figures(tmp_path: Path) -> None:
    files_ = [features(tmp_path)]
    for codec in "xy":
        distances(tmp_path, measured(), files_, codec=codec)
    figures = [tmp_path / f"fid_d.{kind}" for kind in ("png", "svg", "pdf")]
    distribution_table(
        drawn={"fid_d": "d"}, names={"x": "X (bundled)"}, families=["y", "x"],
        distances=[tmp_path / "y.csv", tmp_path / "x.csv"], table=tmp_path / "t.csv",
        figures=figures,
    )  # fmt: skip
    table = read_table(tmp_path / "t.csv")
    assert list(table["codec"]) == list(SPECS)
    svg = figures[1].read_text()
    for words in ("FID", "KID", "lower is better", "13 patches of 256 x 256 pixels", "X (bundled)"):
        assert words in svg
    small = table.assign(fid=np.nan, status="13 patches, fewer than 1000")
    text = fid_figure(small, "d", ["x", "y"]).texts[-1].get_text()
    assert "Nothing to draw" in text
    assert "fewer than 1000" in text


# Planning.


def config(weights: Path | None, **section: Any) -> dict[str, Any]:
    return {
        "datasets": {"scenes": {"test": 2}, "photos": {}},
        "codecs": {"jpeg": {"points": [{"quality": [10, 50]}]}},
        "metrics": ["psnr_rgb"],
        "weights": None if weights is None else str(weights),
        "results": "results",
        **({"distribution": section} if section else {}),
    }


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file of the right name: plans look no closer."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / files.INCEPTION.name).touch()
    return tmp_path / "w"


def test_the_section_adds_its_table_and_figures(weights: Path) -> None:
    plain = Plan(make_run(config(weights)))
    plan = Plan(make_run(config(weights, datasets=["photos"])))
    more = {one.path for one in plan.made()} - {one.path for one in plain.made()}
    assert more == {
        "tables/distribution.csv", "figures/fid_photos.png", "patch_features/photos/0.npz",
        "patch_features/photos/jpeg/0.npz", "patch_distances/photos/jpeg.csv",
    }  # fmt: skip
    assert "distribution.datasets" in absent_targets(plain.run)["distribution_table"]
    assert "distribution_table" not in absent_targets(plan.run)
    assert plan.run.config["distribution"]["minimum"] == 1000


def test_a_missing_weight_file_is_announced(weights: Path) -> None:
    (weights / files.INCEPTION.name).unlink()
    run = make_run(config(weights, datasets=["photos"]))
    assert run.config["distribution"]["datasets"] == []
    (line,) = [text for text in announcements(run) if "unavailable: distribution" in text]
    assert files.INCEPTION.name in line
    assert f"icmbench fetch --downloads {weights} inception-fid" in line
    assert "a weight file" in absent_targets(run)["distribution_table"]
    assert make_run(config(weights)).unavailable == {}


def test_data_sets_of_the_section(weights: Path) -> None:
    with pytest.raises(ConfigError, match=r"distribution\.datasets: .*did you mean 'photos'"):
        make_run(config(weights, datasets=["photo"]))
    given = config(weights, datasets=["photos", "scenes"])
    run = make_run({**given, "datasets": {**given["datasets"], "photos": None}})
    assert run.config["distribution"]["datasets"] == ["scenes"]
    assert any("distribution: left out on photos" in text for text in run.notices)


@pytest.mark.workflow
def test_the_rules_are_planned_with_the_section_only(weights: Path, tmp_path: Path) -> None:
    with_it = config(weights, datasets=["photos"]) | {"shards": 2}
    plans = [
        succeed(snakemake(tmp_path, given, "--dry-run")) for given in (with_it, config(weights))
    ]
    jobs = [dict(re.findall(r"^(\w+) +(\d+)$", text, re.M)) for text in plans]
    added = {rule: int(count) for rule, count in jobs[0].items() if rule not in jobs[1]}
    assert added == {
        "patch_features_originals": 2, "patch_features": 2, "patch_distances": 1,
        "distribution_table": 1,
    }  # fmt: skip


def test_no_shipped_configuration_has_the_section() -> None:
    """The published results are made without the weight file; the papers' runs fetch theirs."""
    for path in [ROOT / "config.yaml", *(ROOT / "configs").glob("*.yaml")]:
        if path.stem.removeprefix("rehearsal-") == "paper-diff-icmh":
            continue
        assert "distribution" not in yaml.safe_load(path.read_text(encoding="utf-8"))
