"""The states that are imitated while the autoencoder's decoder is trained."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from icmbench.codecs.mpd.training import simulated
from icmbench.codecs.mpd.training.simulated import simulated_states

CHANNELS, CARRIED = 5, 3


def some_latents(count: int = 4, side: int = 6, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(count, CHANNELS, side, side, generator=generator)


def coarser(latent: torch.Tensor, seed: int = 7) -> torch.Tensor:
    return simulated_states(latent, CARRIED, np.random.default_rng(seed))


@pytest.fixture
def palettes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "PALETTES", 1.0)


@pytest.fixture
def refined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "PALETTES", 0.0)
    monkeypatch.setattr(simulated, "REFINED", 1.0)


@pytest.mark.parametrize("octaves", [1, 3, 7])
@pytest.mark.usefixtures("palettes")
def test_a_palette_state_has_few_cells(octaves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most as many as entries, with 0 in the other channels; of few cells not more than these.

    Every cell is the mean of the latent's cells that show it.
    """
    monkeypatch.setattr(simulated, "ENTRIES", (float(octaves),) * 2)
    latent = some_latents()
    for goal, state in zip(latent, coarser(latent), strict=True):
        assert not state[CARRIED:].any()
        cells = state.flatten(1).T
        different, labels = cells.unique(dim=0, return_inverse=True)
        assert 1 < len(different) <= min(2**octaves, 36)
        for label, entry in enumerate(different):
            mean = goal.flatten(1).T[labels == label].mean(0)
            torch.testing.assert_close(entry[:CARRIED], mean[:CARRIED], rtol=1e-5, atol=1e-5)
    assert (coarser(latent)[:, :CARRIED] - latent[:, :CARRIED]).square().mean() < 4


@pytest.mark.usefixtures("palettes")
def test_more_entries_are_nearer(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = []
    latent = some_latents(8, 12)
    for octaves in (1.0, 3.0, 5.0, 7.0):
        monkeypatch.setattr(simulated, "ENTRIES", (octaves, octaves))
        errors.append(float((coarser(latent) - latent)[:, :CARRIED].square().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.5 * errors[0]


@pytest.mark.parametrize("step", [0.3, 1.5])
@pytest.mark.usefixtures("refined")
def test_a_quantised_rest_is_within_a_step(step: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every channel the error is below the step, two steps wide around 0."""
    monkeypatch.setattr(simulated, "STEPS", (step, step))
    latent = some_latents(2, 12)
    gap = (coarser(latent) - latent).abs()
    assert gap.max() <= step * (1 + 1e-5)
    assert gap.max() > 0.9 * step
    assert (gap > 0.551 * step).float().mean() < 0.5
    # Channels that no palette carries are multiples of the step, but for the place in it.
    levels = coarser(latent)[:, CARRIED:].abs() / step
    shown = levels[levels > 0]
    torch.testing.assert_close(shown, shown.floor() + 0.45, rtol=0, atol=1e-4)
    assert (levels == 0).any()


@pytest.mark.usefixtures("refined")
def test_the_steps_differ_from_crop_to_crop() -> None:
    low, high = simulated.STEPS
    latent = some_latents(60, 12)
    gaps = (coarser(latent) - latent).abs().flatten(1).amax(1)
    assert gaps.max() <= high * (1 + 1e-5)
    assert gaps.min() < 2 * low
    assert gaps.max() > 0.5 * high


def test_the_last_channels_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never one that the palette carries; the others are as they were."""
    monkeypatch.setattr(simulated, "PALETTES", 0.0)
    monkeypatch.setattr(simulated, "REFINED", 0.0)
    monkeypatch.setattr(simulated, "CUT", 1.0)
    latent = some_latents(60, 2)
    kept = Counter()
    for goal, state in zip(latent, coarser(latent), strict=True):
        count = int(state.flatten(1).any(1).sum())
        assert torch.equal(state[:count], goal[:count])
        assert not state[count:].any()
        kept[count] += 1
    assert set(kept) == set(range(CARRIED, CHANNELS + 1))


def test_every_kind_has_its_share() -> None:
    latent = some_latents(600, 12)
    kinds = Counter()
    for goal, state in zip(latent, coarser(latent), strict=True):
        same = (state == goal).flatten(1).all(1)
        whole = bool(same.all())
        if whole:
            kinds["whole"] += 1
        elif bool(same[:CARRIED].all()) and bool((same | ~state.flatten(1).any(1)).all()):
            kinds["cut"] += 1
        else:
            kinds["palette" if not state[CARRIED:].any() else "refined"] += 1
    shares = {kind: count / 600 for kind, count in kinds.items()}
    # Of the 0.15 that may be cut a third keeps every channel.
    expected = {"palette": 0.4, "refined": 0.3, "whole": 0.2, "cut": 0.1}
    assert shares == pytest.approx(expected, abs=0.06)


def test_the_generator_decides_everything() -> None:
    latent = some_latents()
    kept = latent.clone()
    one, same, other = coarser(latent), coarser(latent), coarser(latent, seed=8)
    assert torch.equal(latent, kept)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def gradient(latent: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    latent = latent.clone().requires_grad_(True)
    (coarser(latent) * weight).sum().backward()
    assert latent.grad is not None
    return latent.grad


@pytest.mark.usefixtures("palettes")
def test_gradients_go_through_the_means_of_a_palette() -> None:
    """A cell's is the mean of those of all cells of its entry; none reaches what is not carried."""
    latent = some_latents(1)
    weight = torch.randn(latent.shape, generator=torch.Generator().manual_seed(2))
    found = gradient(latent, weight)[0]
    assert not found[CARRIED:].any()
    cells = coarser(latent)[0].flatten(1).T
    different, labels = cells.unique(dim=0, return_inverse=True)
    for label in range(len(different)):
        members = labels == label
        mean = weight[0].flatten(1)[:CARRIED, members].mean(1)
        for cell in found.flatten(1)[:CARRIED, members].T:
            torch.testing.assert_close(cell, mean, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("refined")
def test_gradients_go_through_a_quantiser_as_if_it_were_none() -> None:
    latent = some_latents(2)
    weight = torch.randn(latent.shape, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(gradient(latent, weight), weight, rtol=1e-5, atol=1e-5)
