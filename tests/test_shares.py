"""A batch in micro-batches and by several processes: the gradient of the whole batch."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import test_diff_icmh_training as icmh
import torch
from conftest import ROOT

from icmbench.codecs.diff_icmh.training import codec as train_codec
from icmbench.codecs.diff_icmh.training.losses import CodecNetworks, FrozenNetworks, LossWeights
from icmbench.core.errors import ConfigError, ModelError
from icmbench.core.images.image_files import write_png
from icmbench.datasets.records import Record, write_records
from icmbench.jobs import processes
from icmbench.jobs.bundled_or_trained import TrainingJob
from icmbench.jobs.train_stage import train_stage
from icmbench.training import loop
from icmbench.training.data import TrainingData
from icmbench.training.loop import Schedule, Session
from icmbench.training.records import TrainingRecord, training_record
from icmbench.training.shares import Group, Share

pytestmark = pytest.mark.usefixtures("one_thread")

models, pool = icmh.models, icmh.pool
BATCH = 5
WEIGHTS = dataclasses.replace(icmh.WEIGHTS, timesteps=2)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("micro_batch", [0, 1, 2, 9])
def test_shares_divide_a_batch(size: int, micro_batch: int) -> None:
    shares = [s for rank in range(size) for s in Group(rank, size).shares(BATCH, micro_batch)]
    assert [n for s in shares for n in s.rows(list(range(BATCH)))] == list(range(BATCH))
    assert sum(share.weight for share in shares) == pytest.approx(1)
    assert all(0 < share.count <= (micro_batch or BATCH) for share in shares)


def test_every_process_needs_an_example() -> None:
    with pytest.raises(ConfigError, match="batch 3 for 4 processes"):
        Group(0, 4).shares(3)


def test_noise_is_that_of_the_whole_batch() -> None:
    like = torch.zeros(4, 3, 2)
    torch.manual_seed(3)
    whole = torch.rand_like(like)
    for first in range(4):
        torch.manual_seed(3)
        assert torch.equal(Share(4, first, 1).uniform(like[:1]), whole[first : first + 1])


# ----- the gradient


def gradients(
    loaded: FrozenNetworks, pool: TrainingData, session: Session, weights: LossWeights = WEIGHTS
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Of one step of stage 2, before the optimiser's, and its losses."""
    network: CodecNetworks = icmh.fresh()
    train_codec.calibrate(network.lfgcm, loaded.model, icmh.batch_of(pool).numpy())
    found: dict[str, torch.Tensor] = {}
    values: dict[str, float] = {}

    class Kept(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            found.update(
                {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
            )

    def once(name: str, _: Any, schedule: Schedule, losses: Any, *rest: Any, **keys: Any) -> None:
        parameters = [p for p in network.parameters() if p.requires_grad]
        shares = session.group.shares(schedule.batch, session.micro_batch)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: None)
            network.train()
            optimiser = Kept(parameters, 0.1)
            terms = loop._step(name, 7, schedule, losses, optimiser, parameters, shares, Group())
        values.update(terms)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_codec, "train", once)
        schedule = dataclasses.replace(icmh.SCHEDULE, batch=BATCH)
        train_codec.train_codec(
            network, loaded, schedule, pool, session, stage=2, weights=weights,
            source_tags=icmh.SOURCE_TAGS, crop=icmh.CROP, describe={"start": "here"},
        )  # fmt: skip
    return found, values


@pytest.fixture(scope="module")
def whole(models: Path, pool: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("whole")
    return gradients(icmh.parts(models), pool, Session(folder / "c", folder / "h"))


def assert_equal_gradients(one: Any, other: Any, atol: float = 1e-6) -> None:
    """Up to rounding, of gradients of which none is zero."""
    assert one[0].keys() == other[0].keys()
    assert len(one[0]) > 100
    scale = max(float(gradient.abs().max()) for gradient in one[0].values())
    assert scale > 1e-3
    for name, gradient in one[0].items():
        torch.testing.assert_close(other[0][name], gradient, rtol=1e-3, atol=atol * scale)
    assert one[1] == pytest.approx(other[1], rel=1e-5)


@pytest.mark.parametrize("micro_batch", [1, 2])
def test_micro_batches_have_the_gradient_of_the_batch(
    micro_batch: int, whole: Any, models: Path, pool: TrainingData, tmp_path: Path
) -> None:
    session = Session(tmp_path / "c", tmp_path / "h", micro_batch=micro_batch)
    assert_equal_gradients(whole, gradients(icmh.parts(models), pool, session))


def test_processes_add_up_to_the_gradient_of_the_batch(
    whole: Any, models: Path, pool: TrainingData, tmp_path: Path
) -> None:
    """Each decodes only its own crops, and its gradient is its part of the sum."""
    found = [
        gradients(
            icmh.parts(models), pool, Session(tmp_path / "c", tmp_path / "h", group=Group(rank, 2))
        )
        for rank in range(2)
    ]
    added = {name: found[0][0][name] + found[1][0][name] for name in found[0][0]}
    values = {key: found[0][1][key] + found[1][1][key] for key in found[0][1]}
    assert_equal_gradients(whole, (added, values))


def test_recomputed_activations_have_the_same_gradient(
    whole: Any, models: Path, pool: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit by bit; and blocks are evaluated again in the backward pass."""
    from icmbench.codecs.diff_icmh.networks import unet

    calls = []
    checkpoint = unet.checkpoint
    monkeypatch.setattr(unet, "checkpoint", lambda *a, **k: calls.append(1) or checkpoint(*a, **k))
    session = Session(tmp_path / "c", tmp_path / "h", recompute=True)
    found = gradients(icmh.parts(models), pool, session)
    assert len(calls) > 10
    for name, gradient in whole[0].items():
        assert torch.equal(found[0][name], gradient), name
    assert found[1] == whole[1]


def test_a_training_goes_on_with_other_micro_batches(
    models: Path, pool: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed where memory was short, it is resumed with smaller ones: the key is the same."""
    schedule = dataclasses.replace(icmh.SCHEDULE, steps=3, batch=3)

    def run(folder: Path, micro_batch: int) -> pd.DataFrame:
        session = Session(folder / "c.pt", folder / "l.csv", micro_batch=micro_batch)
        train_codec.make_codec(
            folder, icmh.parts(models), schedule, pool, session, stage=1, weights=WEIGHTS,
            source_tags=icmh.SOURCE_TAGS, crop=icmh.CROP, settings=icmh.CODEC,
            control=icmh.CONTROL,
        )  # fmt: skip
        return pd.read_csv(folder / "l.csv")

    expected = run(tmp_path / "whole", 0)
    with monkeypatch.context() as patch:
        icmh.kill_before(patch, 2)
        with pytest.raises(icmh.Killed):
            run(tmp_path, 0)
    found = run(tmp_path, 2)
    assert found[:2].equals(expected[:2])
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-5)


# ----- several processes


def stage_job(folder: Path, models: Path, **compute: Any) -> TrainingJob:
    """A job of stage 1 as its rule has it, on four images that lie in `folder`."""
    images = folder.parent / "pool" / "images"
    records = images.parent / "records.csv"
    if not records.is_file():
        listed = []
        for number in range(4):
            path = images / f"{number}.png"
            write_png(path, icmh.make_picture(72, 88, number))
            listed.append(training_record(Record(path.stem, path.name), path))
        write_records(records, listed, TrainingRecord)
    settings = {
        "steps": 3, "batch": 4, "learning_rate": 2e-3, "seed": 3, "precision": "float32",
        "crop": 64, "start": "scratch", "imported": False, "source_tags": {},
        "codec": {
            "average": 0.5, "noise": 1, "guide": 1, "rates": [4, 1], "semantic": 2, "tags": True,
            "draws": 1, "steer_only": False, "start": 0,
        },
        "lfgcm": {
            "encoder": [4, 4, 6, 8], "hyper": 6, "latent": 8, "side": 4, "slices": [2, 6],
            "sft_hidden": 4, "context_hidden": [6, 5], "linear": False,
        },
        "control": {"ratio": 0.5, "head_width": 6},
    }  # fmt: skip
    return TrainingJob(
        weights=[folder / f"{name}.safetensors" for name in ("codec", "control", "tables")],
        settings=settings,
        records=[records],
        images=[images],
        autoencoder=models / "autoencoder.safetensors",
        prior=models / "prior.safetensors",
        history=folder / "losses.csv",
        checkpoint=str(folder / "checkpoint.pt"),
        compute=compute,
    )


@pytest.fixture
def accelerate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pinned version for the processes that a test starts; not one of the dependencies."""
    folder = tmp_path / "packages"
    (pin,) = (ROOT / "envs" / "training.in").read_text().split()[-1:]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, pin],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"{pin} cannot be installed: {done.stderr.strip()[-200:]}")
    monkeypatch.setenv("PYTHONPATH", f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{folder}")


@pytest.mark.slow
@pytest.mark.usefixtures("accelerate")
def test_two_processes_train_as_one_with_the_whole_batch(models: Path, tmp_path: Path) -> None:
    """Through accelerate, on the CPU: torchrun starts them, gloo adds up their gradients."""
    tables = []
    for count in (1, 2):
        job = stage_job(tmp_path / str(count), models, processes=count, micro_batch=1)
        train_stage(job)
        assert all(path.is_file() for path in job.weights)
        tables.append(pd.read_csv(job.history))
    assert len(tables[0]) == 3
    np.testing.assert_allclose(tables[1], tables[0], rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(tables[1].iloc[0], tables[0].iloc[0], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("accelerate")
def test_the_failure_of_a_process_is_the_jobs(models: Path, tmp_path: Path) -> None:
    """One sentence, with the type that it had there."""
    job = stage_job(tmp_path / "job", models, processes=2)
    job = dataclasses.replace(job, prior=tmp_path / "prior.safetensors")
    with pytest.raises(ModelError, match=r"prior\.safetensors: no such file"):
        train_stage(job)


def test_without_accelerate_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ConfigError, match="package accelerate is not installed: `pip install"):
        processes._join("cpu")


def test_one_process_starts_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "run_python", None)
    seen: list[TrainingJob] = []
    job = TrainingJob(weights=[], settings={})
    processes.train_together(seen.append, job)
    assert seen == [job]


def test_the_job_of_a_process_can_be_sent_to_it(models: Path, tmp_path: Path) -> None:
    import pickle

    job = stage_job(tmp_path / "job", models, processes=2)
    assert pickle.loads(pickle.dumps((train_stage, job))) == (train_stage, job)
    assert json.dumps(job.settings)
