"""Cost of a training step, counted from shapes, and the check of a GPU's memory."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import pytest
import test_diff_icmh_training as icmh
import test_shares
import torch

from icmbench.codecs.diff_icmh.training import codec as train_codec
from icmbench.core.errors import ConfigError
from icmbench.jobs import gpu_memory, train_stage
from icmbench.jobs import training as jobs
from icmbench.studies.training_cost import StepCost, TrainedSizes, check_memory, sizes_of, step_cost

pytestmark = pytest.mark.usefixtures("one_thread")

models = icmh.models
KEYS = {"crop": 64, "micro_batch": 1, "bfloat16": False, "recompute": False, "averaged": True}


@pytest.fixture(scope="module")
def sizes(models: Path) -> TrainedSizes:
    files = (models / "prior.safetensors", models / "autoencoder.safetensors")
    return sizes_of(*files, icmh.CODEC, icmh.CONTROL)


@pytest.mark.slow
def test_weights_and_states_are_those_of_the_networks(sizes: TrainedSizes, models: Path) -> None:
    cost = step_cost(sizes, icmh.WEIGHTS, **KEYS)
    network, frozen = icmh.fresh(), icmh.parts(models)
    trained = sum(p.numel() for p in network.parameters())
    assert cost.states == 4 * 4 * trained
    held = trained + sum(p.numel() for p in frozen.model.network.parameters())
    held += sum(p.numel() for p in frozen.prior.unet.parameters())
    assert cost.weights == pytest.approx(4 * held, rel=0.02)  # and small buffers
    assert cost.activations > 4 * trained  # at least one gradient more


@pytest.mark.slow
def test_cost_follows_the_batch_and_what_is_kept(sizes: TrainedSizes) -> None:
    def cost(**keys: Any) -> StepCost:
        return step_cost(sizes, icmh.WEIGHTS, **{**KEYS, "crop": 128, **keys})

    one, four, less = cost(), cost(micro_batch=4), cost(micro_batch=4, recompute=True)
    assert four.flops == pytest.approx(4 * one.flops, rel=0.01)
    assert 2 * one.activations < four.activations < 4.5 * one.activations
    assert less.activations < 0.95 * four.activations
    assert 1.05 * four.flops < less.flops < 1.6 * four.flops
    assert cost(averaged=False).states == 0.75 * one.states
    half = cost(micro_batch=4, bfloat16=True)
    assert half.activations < four.activations
    assert half.flops == four.flops
    frozen = dataclasses.replace(icmh.WEIGHTS, freeze_codec=True)
    assert step_cost(sizes, frozen, **KEYS).states < one.states


def test_a_gpu_too_small_is_one_sentence() -> None:
    cost = StepCost(weights=7 * 10**9, states=7 * 10**9, activations=10**10, flops=1.0)
    check_memory(cost, 28 * 10**9, "H100")
    text = r"a step needs 27\.4 GB of the GPU \(7\.0 GB of weights, 7\.0 GB of gradients.*: lower"
    with pytest.raises(ConfigError, match=text):
        check_memory(cost, 24 * 10**9, "RTX 4090")


def test_it_is_found_before_anything_is_loaded(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an imported prior on a GPU, with the sizes of the job's own codec."""
    job = test_shares.stage_job(tmp_path / "job", models, micro_batch=1)
    job = dataclasses.replace(job, settings={**job.settings, "imported": True})
    monkeypatch.setattr(jobs, "use_device", lambda device: "cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (10**6, 10**9))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a small GPU")
    monkeypatch.setattr(train_codec, "make_codec", None)
    monkeypatch.setattr(
        importlib.import_module("icmbench.codecs.diff_icmh.training.losses"), "load_frozen", None
    )
    asked: list[Any] = []

    def cost(sizes: TrainedSizes, *_: Any, **keys: Any) -> StepCost:
        asked.append((sizes, keys))
        return StepCost(10**9, 10**9, 10**9, 1.0)

    monkeypatch.setattr(gpu_memory, "step_cost", cost)
    with pytest.raises(ConfigError, match=r"0\.0 GB of a small GPU are free: lower micro_batch"):
        train_stage.train_stage(job)
    ((sizes, keys),) = asked
    assert keys["micro_batch"] == 1
    assert keys["crop"] == 64
    assert (sizes.lfgcm.latent, sizes.lfgcm.rates, sizes.control.ratio) == (8, 2, 0.5)
    assert sizes.unet == icmh.UNET
