"""Jobs called as functions, without Snakemake: paths in, paths out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from icmbench.core.errors import DatasetError, MeasurementError
from icmbench.core.files import sha256_bytes
from icmbench.core.images.image_files import read_image
from icmbench.core.job_arguments import job_arguments
from icmbench.datasets.records import read_records
from icmbench.jobs.annotations import annotations
from icmbench.jobs.bundled_or_trained import TrainingJob, bundled_or_trained
from icmbench.jobs.check_results import check_results
from icmbench.jobs.contact_sheet import contact_sheet
from icmbench.jobs.dataset_shard import dataset_shard
from icmbench.jobs.decode import decode
from icmbench.jobs.encode import encode
from icmbench.jobs.groups import by_name
from icmbench.jobs.icmh_shared import icmh_shared
from icmbench.jobs.loss_figures import loss_figures
from icmbench.jobs.manifest import manifest
from icmbench.jobs.measure import measure
from icmbench.jobs.places import files_of, image_of, record_of
from icmbench.jobs.rate_figures import rate_figures
from icmbench.jobs.rd_tables import rd_tables
from icmbench.jobs.tasks_tables import tasks_tables
from icmbench.jobs.timing_table import timing_table
from icmbench.jobs.visual_comparison import visual_comparison

SCENES = {"size": 96, "test": 3, "seed": 4}
SETTINGS = {
    "entry": {"points": [{"quality": [10, 40, 70, 90]}]}, "device": "cpu", "threads": 1,
    "models": None, "limits": {"seconds_per_image": 60},
}  # fmt: skip
CODECS = ("jpeg", "webp")
FORMATS = ("png", "svg", "pdf")


class Files(dict[str, Any]):
    """Snakemake's named files, as a script has them: it counts files, not names."""

    def __len__(self) -> int:
        return sum(1 if isinstance(value, str) else len(value) for value in self.values())


def snakemake_job(**parts: Any) -> SimpleNamespace:
    """The object `snakemake` of a script."""
    kinds = {
        kind: Files(parts.pop(kind, {})) for kind in ("input", "output", "params", "wildcards")
    }
    fixed = {"rule": "r", "threads": 2, "config": {"results": "out"}, "scriptdir": "/w/scripts"}
    return SimpleNamespace(**kinds, **fixed, **parts)


def example(image: int, *, a: Path, b: list[Path], key: str, root: Path, results: Path) -> None:
    """A job's function."""


def test_arguments_come_by_name() -> None:
    job = snakemake_job(
        input={"a": "in/a", "model": ["m"]}, output={"b": ["out/b"]},
        params={"key": "a/b", "code": ["c"]}, wildcards={"image": "7", "other": "x"},
    )  # fmt: skip
    assert job_arguments(example, job) == {
        "a": Path("in/a"), "b": [Path("out/b")], "key": "a/b", "image": "7",
        "root": Path("/w"), "results": Path("out"),
    }  # fmt: skip
    job.config["training"] = {"cache_mb": 7, "seed": 1}
    assert job_arguments(lambda cache_mb, b: None, job) == {"cache_mb": 7, "b": [Path("out/b")]}
    with pytest.raises(TypeError, match="rule r: output c: name every output as a parameter of"):
        job_arguments(example, snakemake_job(output={"b": [], "c": "x"}))
    with pytest.raises(TypeError, match="rule r: a: given twice"):
        job_arguments(example, snakemake_job(input={"a": "1"}, params={"a": "2"}))
    unnamed = snakemake_job()
    unnamed.output = type("Unnamed", (Files,), {"__len__": lambda self: 1})()
    with pytest.raises(TypeError, match="output without a name"):
        job_arguments(example, unnamed)


def test_files_by_name() -> None:
    files = [Path(str(n)) for n in range(4)]
    assert by_name(["a", "b"], files) == {"a": files[:2], "b": files[2:]}
    assert by_name([], []) == {}
    for names in ([], ["a", "b", "c"]):
        with pytest.raises(MeasurementError, match="not equally many each"):
            by_name(names, files)


def provide(home: Path, shards: int) -> list[Path]:
    """Lists and images of a data set's shards; the folders of the images."""
    folders = [home / f"images{shard}" for shard in range(shards)]
    for shard, folder in enumerate(folders):
        dataset_shard(
            "scenes", str(shard), entry=SCENES, downloads=home, shards=shards, results=home,
            records=home / f"{shard}.csv", images=folder,
        )  # fmt: skip
    manifest(
        shards=[home / f"{shard}.csv" for shard in range(shards)], manifest=home / "manifest.csv"
    )
    return folders


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one shard of a data set, coded by two entries and measured."""
    home = tmp_path_factory.mktemp("run") / "scenes"
    (images,) = provide(home, 1)
    for name in CODECS:
        encode(
            "scenes", name, settings=SETTINGS, split="test", records=home / "0.csv",
            images=images, streams=home / f"{name}.zip", status=home / f"{name}.csv",
            timing=home / f"{name}.encode.csv",
        )  # fmt: skip
        decode(
            "scenes", name, settings=SETTINGS, streams=home / f"{name}.zip",
            encoded=home / f"{name}.csv", pictures=home / f"{name}.pictures.zip",
            status=home / f"{name}.decoded.csv", timing=home / f"{name}.decode.csv",
        )  # fmt: skip
        measure(
            "scenes", name, available=["psnr_rgb", "ssim"], weights=None, device="cpu",
            split="test", root=ROOT, records=home / "0.csv", images=images,
            pictures=home / f"{name}.pictures.zip", decoded=home / f"{name}.decoded.csv",
            measurements=home / f"{name}.parquet", lossless=False,
        )  # fmt: skip
    return home


def test_the_jobs_of_a_data_set(tmp_path: Path) -> None:
    folders = provide(tmp_path, 2)
    assert all(len(read_records(tmp_path / f"{shard}.csv")) for shard in (0, 1))
    records = read_records(tmp_path / "manifest.csv")
    assert [record.image for record in records] == [f"test-0000{n}" for n in range(3)]
    out = {
        name: tmp_path / f"{name}.json" for name in ("instances", "landmarks", "classes", "more")
    }
    annotations(
        "scenes", entry=SCENES, downloads=tmp_path, shards=2, results=tmp_path, images=folders,
        manifest=tmp_path / "manifest.csv", semantic=tmp_path / "semantic.json", **out,
    )  # fmt: skip
    instances = json.loads(out["instances"].read_text())
    assert {each["file_name"] for each in instances["images"]} == {r.path for r in records}
    maps = json.loads((tmp_path / "semantic.json").read_text())["maps"]
    assert maps.keys() == {record.image for record in records}
    assert not any(Path(path).is_absolute() for path in maps.values())
    for annotated, name in ((True, "a.png"), (False, "b.png")):
        contact_sheet(
            manifest=tmp_path / "manifest.csv", images=folders, shards=2, split="test",
            annotated=annotated, figure=tmp_path / name,
        )  # fmt: skip
    one, two = (read_image(tmp_path / name)[0] for name in ("a.png", "b.png"))
    assert one.shape[1] > two.shape[1] > 96


def test_the_jobs_of_coding_make_tables_and_figures(coded: Path, tmp_path: Path) -> None:
    measurements = sorted(coded.glob("*.parquet"))
    tables = {n: tmp_path / f"{n}.csv" for n in ("rd", "bd_rate", "failures", "remarks")}
    rd_tables(
        metrics=["psnr_rgb", "ssim"], anchors=["jpeg"], datasets=["scenes"],
        bootstrap={"resamples": 20, "bd_resamples": 20, "seed": 1},
        comparison_settings={"max_failed": 0.2, "min_overlap": 0.3}, measurements=measurements,
        scales={"webp": [[f"webp:quality={q}" for q in (1, 2)]]}, heads={},
        manifests=[coded / "manifest.csv"], comparison=tmp_path / "comparison.json", **tables,
    )  # fmt: skip
    rd = pd.read_csv(tables["rd"])
    assert list(rd.columns)[-1] == "note"
    assert set(rd["family"]) == {"jpeg", "webp"}
    assert len(rd["codec"].unique()) == 8
    assert not len(pd.read_csv(tables["failures"]))
    assert json.loads((tmp_path / "comparison.json").read_text())
    timing = tmp_path / "timing.csv"
    parts = [*sorted(coded.glob("*.encode.csv")), *sorted(coded.glob("*.decode.csv"))]
    costs = tmp_path / "costs.csv"
    timing_table(measurements=measurements, parts=parts, table=timing, costs=costs)
    assert len(pd.read_csv(timing)) == 8
    cost = pd.read_csv(costs)
    assert len(cost) == 8
    assert (cost[["encode_mp_s", "decode_mp_s"]] > 0).all(axis=None)
    assert cost[["encode_mb", "decode_mb"]].min(axis=None) > 20  # Python alone takes that
    # No networks, no GPU.
    networks = ["encode_kmac_px", "decode_kmac_px", "encode_parameters", "decode_gpu_mb"]
    assert cost[networks].isna().all(axis=None)
    names = ("rd_scenes", "rate_time_scenes", "bd_jpeg_scenes")
    figures = [tmp_path / f"{name}.{suffix}" for name in names for suffix in FORMATS]
    given: dict[str, Any] = {"rd": tables["rd"], "bd_rate": tables["bd_rate"], "timing": timing}
    drawn: dict[str, Any] = {
        "rd_{dataset}": ("rd_curves", {}),
        "rate_time_{dataset}": ("rate_time", {}),
        "bd_jpeg_{dataset}": ("bd_heatmap", {"anchor": "jpeg"}),
    }
    given |= {"drawn": drawn, "metrics": ["psnr_rgb"], "names": {}}
    rate_figures("scenes", figures=figures, **given)
    assert all(path.stat().st_size for path in figures)
    with pytest.raises(MeasurementError, match="does not declare the figure bd_jpeg_scenes"):
        rate_figures("scenes", figures=figures[:6], **given)


def place(coded: Path, image: str) -> dict[str, Any]:
    return {
        "dataset": "scenes", "image": image, "bpp": 1.0, "figure": "visual_0",
        "records": str(coded / "0.csv"), "images": str(coded / "images0"),
        "streams": {name: str(coded / f"{name}.zip") for name in CODECS},
        "measurements": {name: str(coded / f"{name}.parquet") for name in CODECS},
    }  # fmt: skip


def test_a_figure_of_a_single_image(coded: Path, tmp_path: Path) -> None:
    one = place(coded, "test-00001")
    assert record_of(one).image == "test-00001"
    assert image_of(one).shape == (96, 96, 3)
    assert files_of(one, "streams")["webp"].is_file()
    with pytest.raises(DatasetError, match="test-9"):
        record_of({**one, "image": "test-9"})
    figures = [tmp_path / f"visual_0.{suffix}" for suffix in FORMATS]
    viewers = [tmp_path / "visual_0.zip"]
    settings = {"jpeg": SETTINGS, "webp": SETTINGS}
    visual_comparison(settings=settings, places=[one], figures=figures, viewers=viewers)
    assert all(path.stat().st_size for path in (*figures, *viewers))


def test_bundled_weights_are_copied_and_others_trained(tmp_path: Path) -> None:
    bundled, weights = ([tmp_path / f"{kind}{n}" for n in (0, 1)] for kind in ("old", "new"))
    for number, path in enumerate(bundled):
        path.write_bytes(bytes([number]) * 9)
    checkpoint = tmp_path / "checkpoint"
    checkpoint.write_text("state")
    seen: list[TrainingJob] = []

    def train(job: TrainingJob) -> None:
        assert checkpoint.exists()
        seen.append(job)

    copy = TrainingJob(weights=weights, settings={}, bundled=bundled, checkpoint=str(checkpoint))
    bundled_or_trained(train, copy)
    assert [path.read_bytes() for path in weights] == [b"\0" * 9, b"\1" * 9]
    assert not seen
    assert checkpoint.exists()
    job = TrainingJob(weights=weights, settings={"steps": 1}, checkpoint=str(checkpoint))
    bundled_or_trained(train, job)
    assert seen[0].clock is not None
    assert seen == [replace(job, clock=seen[0].clock)]
    assert not checkpoint.exists()
    with pytest.raises(ValueError, match="zip"):
        bundled_or_trained(train, TrainingJob(weights=weights, settings={}, bundled=bundled[:1]))


def test_the_conditions_of_a_training_stand_beside_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours of all pieces, revision and device: of the weights whose digests they hold."""

    def train(job: TrainingJob) -> None:
        assert job.clock is not None
        job.clock.earlier = 7200.0  # as a resumed state sets it
        job.weights[0].write_bytes(b"weights")

    job = TrainingJob(
        weights=[tmp_path / "w.safetensors"], settings={"a": 1}, conditions=tmp_path / "c.json"
    )
    found = []
    for revision in ("abc123", "abc123-dirty+0123", "unknown"):
        monkeypatch.setenv("ICMBENCH_REVISION", revision)
        bundled_or_trained(train, job)
        found.append(json.loads((tmp_path / "c.json").read_text("utf-8")))
    assert found[0]["files"] == {"w.safetensors": sha256_bytes(b"weights")}
    assert found[0]["hours"] == pytest.approx(2, abs=0.01)
    assert (found[0]["device"], found[0]["threads"]) == ("cpu", 1)
    assert found[0]["hardware"]
    assert [each["revision"] for each in found] == ["abc123", "abc123-dirty+0123", "unknown"]
    assert [each["clean"] for each in found] == [True, False, False]


def test_a_stage_that_fails_keeps_its_checkpoint(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.write_text("state")

    def train(job: TrainingJob) -> None:
        raise RuntimeError("killed")

    job = TrainingJob(weights=[tmp_path / "w"], settings={"a": 1}, checkpoint=str(checkpoint))
    with pytest.raises(RuntimeError, match="killed"):
        bundled_or_trained(train, job)
    assert checkpoint.exists()


def test_variants_share_files(tmp_path: Path) -> None:
    names = ("autoencoder", "prior", "tagger")
    parts = [tmp_path / name for name in names]
    for path in parts:
        path.write_text(path.name)
    copies = [tmp_path / home / name for home in "ab" for name in names[::-1]]
    icmh_shared(parts=parts, copies=[tmp_path / "main" / "autoencoder", *copies])
    assert (tmp_path / "main" / "autoencoder").read_text() == "autoencoder"
    assert [path.read_text() for path in copies] == [*names[::-1]] * 2


def test_loss_figures_take_their_names(tmp_path: Path) -> None:
    for name in ("one", "two"):
        frame = pd.DataFrame({"step": np.arange(1, 9), "loss": 1 / np.arange(1, 9)})
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    drawn = {"loss_first": "first", "loss_second": "second"}
    figures = [tmp_path / f"{name}.{suffix}" for name in drawn for suffix in FORMATS]
    loss_figures(
        drawn=drawn, histories=[tmp_path / "one.csv", tmp_path / "two.csv"], figures=figures
    )
    assert all(path.stat().st_size for path in figures)


def test_tables_of_tasks_are_joined(tmp_path: Path) -> None:
    kinds = ("scores", "bd", "failures", "rates")
    for kind in kinds:
        for number in (1, 2):
            (tmp_path / f"{kind}{number}.csv").write_text(f"task,value\n{kind},{number}\n")
    parts = [[tmp_path / f"{kind}{n}.csv" for n in (1, 2)] for kind in kinds]
    out = [tmp_path / f"{name}.csv" for name in ("tasks", "bd_rate", "failed", "needed")]
    tasks_tables(
        scores=parts[0], score_bd_rates=parts[1], score_failures=parts[2], score_rates=parts[3],
        tasks=out[0], bd_rate=out[1], failures=out[2], rates=out[3],
    )  # fmt: skip
    assert out[1].read_text() == "task,value\nbd,1\nbd,2\n"
    assert out[2].read_text() == "task,value\nfailures,1\nfailures,2\n"
    assert out[3].read_text() == "task,value\nrates,1\nrates,2\n"


def test_the_verdict_fails_a_run_without_results(coded: Path, tmp_path: Path) -> None:
    """The line is written in both cases, the verdict only where the run passes."""
    (tmp_path / "failures.csv").write_text("dataset,family,codec,status,detail,images\n")
    (tmp_path / "rd.csv").write_text("dataset,family,codec,failed\nscenes,jpeg,jpeg:quality=1,0\n")
    given: dict[str, Any] = {
        "split": "test", "task_sets": {}, "line": tmp_path / "line.txt",
        "tables": [tmp_path / "rd.csv", tmp_path / "failures.csv"],
        "manifests": [coded / "manifest.csv"], "verdict": tmp_path / "verdict.json",
    }  # fmt: skip
    units = [("scenes", "jpeg"), ("scenes", "webp")]
    with pytest.raises(SystemExit, match="webp"):
        check_results(fail_on="empty", units=units, **given)
    assert "webp" in (tmp_path / "line.txt").read_text()
    assert not given["verdict"].exists()
    check_results(fail_on="never", units=units, **given)
    assert json.loads(given["verdict"].read_text())["empty"]
