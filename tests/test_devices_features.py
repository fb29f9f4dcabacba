"""The job of feature gaps on fake CUDA tensors (`fake_cuda`): its rows are those of the CPU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fake_cuda import fake_cuda
from test_resources import FLAGS
from test_task_figures import decoded_shard

from icmbench.core.images.image_files import write_png
from icmbench.datasets.records import Record, write_records
from icmbench.jobs.feature_gap_shard import feature_gap_shard
from icmbench.scenes import render_scene
from icmbench.scenes.labels import CATEGORIES, SEMANTIC_CLASSES
from icmbench.tasks.backends.openmm_task import OpenMMTask
from icmbench.tasks.evaluate import FILES


@pytest.fixture(autouse=True)
def settings_of_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep what a job sets in a process of its own: threads, and settings of a GPU."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads = torch.get_num_threads()
    before = [getattr(place, name) for place, name, _ in FLAGS]
    yield
    torch.set_num_threads(threads)
    for (place, name, _), value in zip(FLAGS, before, strict=True):
        setattr(place, name, value)


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Inputs of a job: a scene as it was, and darkened by half, and the data set's annotations."""
    folder = tmp_path_factory.mktemp("shard")
    image = np.ascontiguousarray(render_scene(1, "test", 0, 96, 128).image)
    write_png(folder / "s.png", image)
    write_records(folder / "records.csv", [Record("s", "s.png", "", 128, 96)])
    coded = {"webp:quality=9": {"s": image // 2}, "identity": {"s": image}}
    for name, held in zip(
        FILES, ({"categories": CATEGORIES}, {}, list(SEMANTIC_CLASSES), {}, {}), strict=True
    ):
        (folder / name).write_text(json.dumps(held), encoding="utf-8")
    return {
        "records": folder / "records.csv",
        "images": folder,
        "truth": [folder / name for name in FILES],
        **decoded_shard(folder, coded),  # type: ignore[arg-type]
    }


def gaps_of(shard: dict[str, Any], kind: str, device: str, path: Path) -> pd.DataFrame:
    """What the job writes for the bundled task of a kind."""
    feature_gap_shard(
        "scenes", "t", "webp", entry={"type": kind}, device=device, split="test", threads=1,
        gaps=path, **shard,
    )  # fmt: skip
    return pd.read_parquet(path)


@pytest.mark.parametrize("kind", ["mmdet", "mmseg"])
def test_the_job_of_feature_gaps(kind: str, shard: dict[str, Any], tmp_path: Path) -> None:
    expected = gaps_of(shard, kind, "cpu", tmp_path / "cpu.parquet")
    with fake_cuda() as machine:
        found = gaps_of(shard, kind, "cuda", tmp_path / "cuda.parquet")
        assert machine.operations > 50
    assert set(found["status"]) == {"ok"}
    names = [name for name in found.columns if name != "gap"]
    pd.testing.assert_frame_equal(found[names], expected[names])
    np.testing.assert_allclose(found["gap"], expected["gap"], rtol=1e-3, atol=1e-5)
    assert (found.loc[found["codec"] == "identity", "gap"] == 0).all()
    assert (found.loc[found["codec"] != "identity", "gap"] > 1e-3).all()


def leave_module(network: Any) -> None:
    """A part of the backbone stays behind."""
    network.backbone.stage2.cpu()


def leave_buffer(network: Any) -> None:
    """The mean that is taken off pictures stays behind."""
    network.data_preprocessor.mean = network.data_preprocessor.mean.cpu()


@pytest.mark.parametrize("fault", [leave_module, leave_buffer])
def test_what_stays_on_the_cpu_is_a_row_that_says_so(
    fault: Any, shard: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = OpenMMTask.load

    def partly(task: OpenMMTask, *args: Any) -> None:
        load(task, *args)
        fault(task._network)

    monkeypatch.setattr(OpenMMTask, "load", partly)
    with fake_cuda():
        found = gaps_of(shard, "mmdet", "cuda", tmp_path / "cuda.parquet")
    assert len(found) == 2
    assert found["gap"].isna().all()
    assert found["status"].str.contains("same device").all()
