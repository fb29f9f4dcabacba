"""The reverse network: identity at the start, all states of a stream, projection, its training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_picture
from tiny_model import livened, tiny_block_models, tiny_models

from icmbench.codecs.mpd.codec import Mpd
from icmbench.codecs.mpd.model_folder import NAME, part_file
from icmbench.codecs.mpd.networks.reverse import project, reverse
from icmbench.codecs.mpd.networks.reverse_network import (
    LEVELS,
    ReverseSettings,
    build_reverse,
    load_reverse,
    set_scale,
)
from icmbench.codecs.mpd.stream.coder import State
from icmbench.codecs.mpd.stream.encoder import encode_latent
from icmbench.codecs.mpd.stream.refinement import REFINEMENTS
from icmbench.codecs.mpd.training import reverse as training
from icmbench.core.errors import DatasetError, ModelError
from icmbench.models.latent import SCALE
from icmbench.models.latent_autoencoder import load_autoencoder
from icmbench.models.tensors import load_arrays, save_arrays
from icmbench.training.data import TrainingData
from icmbench.training.loop import Schedule, Session

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = ReverseSettings(latent=6, channels=8, blocks=2)
STATES = range(-REFINEMENTS, 8)
REACH = 6  # cells to which a border reaches: two convolutions a block, entry and exit


def values(height: int = 5, width: int = 7, count: int = 1, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, SETTINGS.latent, height, width, generator=generator)


def at(state: int) -> torch.Tensor:
    return torch.tensor([state])


# ----- The network


def test_it_starts_as_the_identity_at_every_state() -> None:
    network = build_reverse(SETTINGS, seed=3)
    set_scale(network, np.linspace(0.01, 2, 6), np.ones((LEVELS, 6)))
    for state in STATES:
        assert torch.equal(network(values(), at(state)), values())
    assert len(STATES) == LEVELS == 14


@torch.no_grad()
def test_every_state_has_a_bias_of_its_own() -> None:
    """Without them all states are one; with them no two are, in a batch as alone."""
    network = build_reverse(SETTINGS, seed=3)
    torch.nn.init.normal_(network.exit.weight, generator=torch.Generator().manual_seed(1))
    torch.nn.init.normal_(network.blocks[0].second.weight)
    torch.nn.init.normal_(network.blocks[1].second.weight)
    same = [network(values(), at(state)) for state in STATES]
    assert not torch.equal(same[0], values())
    assert all(torch.equal(one, same[0]) for one in same)
    for block in network.blocks:
        torch.nn.init.normal_(block.level.weight)
    found = [network(values(), at(state)) for state in STATES]
    for index, one in enumerate(found):
        assert all((one - other).abs().max() > 0.1 for other in found[index + 1 :])
    together = network(values().expand(LEVELS, -1, -1, -1), torch.tensor([*STATES]))
    torch.testing.assert_close(together, torch.cat(found), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("state", [-7, 8])
def test_there_are_no_other_states(state: int) -> None:
    with pytest.raises(IndexError):
        build_reverse(SETTINGS, seed=3)(values(), at(state))


@torch.no_grad()
def test_all_channels_have_the_same_scale_inside() -> None:
    """Latents that differ in the deviations of their channels alone get equal corrections."""
    network, scaled = (livened(build_reverse(SETTINGS, seed=3)) for _ in range(2))
    scale = np.array([10.0, 0.5, 1.0, 0.25, 2.0, 0.125])
    set_scale(scaled, scale, np.ones((LEVELS, 6)))
    times = torch.from_numpy(scale).float()[:, None, None]
    for state in (7, 0, -6):
        found = scaled(values() * times, at(state)) - values() * times
        expected = network(values(), at(state)) - values()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_correction_has_the_size_of_its_state_and_channel() -> None:
    network, fine = (livened(build_reverse(SETTINGS, seed=3)) for _ in range(2))
    error = np.outer(2.0 ** -np.arange(0, LEVELS / 2, 0.5)[::-1], [1.0, 0.5, 0.25, 2.0, 4.0, 1.0])
    set_scale(fine, np.ones(6), error)
    for state in STATES:
        found = fine(values(), at(state)) - values()
        expected = (network(values(), at(state)) - values()).numpy()
        expected = expected * error[state + REFINEMENTS][:, None, None]
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-5)


def test_a_channel_that_is_constant_is_not_blown_up() -> None:
    network = build_reverse(SETTINGS, seed=3)
    deviation = np.array([0.0, 1e-9, 1.0, 2.0, 3.0, 4.0])
    set_scale(network, deviation, np.tile(deviation, (LEVELS, 1)))
    assert network.error[-1, :2].tolist() == pytest.approx([1e-4, 1e-4], rel=1e-3)
    assert network.error[-1, 2:].tolist() == [1, 2, 3, 4]
    assert network.scale[:2].tolist() == pytest.approx([1e-3, 1e-3], rel=1e-3)
    assert network.scale[2:].tolist() == [1, 2, 3, 4]
    assert torch.equal(network.scale, network.scale.half().float())  # what a file holds


@torch.no_grad()
def test_a_crop_has_the_estimate_of_the_whole_latent() -> None:
    network = livened(build_reverse(SETTINGS, seed=3))
    latent = values(40, 44)
    whole = network(latent, at(-2))[0, :, 5:35, 4:40]
    gap = (network(latent[:, :, 5:35, 4:40], at(-2))[0] - whole).abs().amax(0)
    assert gap[REACH:-REACH, REACH:-REACH].max() < 1e-5
    assert gap[0].max() > 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": [1.0] * 7}, "'noise' is not one positive number per state"),
        ({"noise": [1.0] * 14}, "'noise' is not one positive number per state"),
        ({"noise": [0.0] * 8}, "'noise' is not one positive number per state"),
        ({"noise": [[1.0] * 5] * 8}, "'noise' is not one positive number per state"),
        ({"noise": None}, "its metadata is incomplete"),
        ({"network": {**SETTINGS.values(), "latent": 4}}, r"of 4 channels, the latent has 6|shape"),
        ({"scale": 0.0}, "tensor 'scale' has a value that is not positive"),
        ({"scale": -1.0}, "tensor 'scale' has a value that is not positive"),
        ({"error": 0.0}, "tensor 'error' has a value that is not positive"),
    ],
)
def test_a_file_is_read_strictly(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    arrays, metadata = load_arrays(part_file(tiny_block_models() / NAME, "reverse"))
    network, noise = load_reverse(part_file(tiny_block_models() / NAME, "reverse"), 6)
    assert (len(noise), network.latent) == (8, 6)
    for name in {"scale", "error"} & change.keys():
        arrays[name][2] = change[name]
        change = {}
    save_arrays(tmp_path / "r", arrays, {**metadata, **change})
    with pytest.raises(ModelError, match=message) as caught:
        load_reverse(tmp_path / "r", 6)
    assert str(tmp_path / "r") in str(caught.value)


# ----- The reverse process of a stream


@pytest.fixture(scope="module")
def stream() -> tuple[Mpd, np.ndarray, list[State]]:
    """A codec, a latent in standard deviations, and all states of its stream."""
    codec = Mpd(models=tiny_block_models())
    latent = codec.model.latent(make_picture(256, 264, 3))
    _, states = encode_latent(latent, carried=4, refine=REFINEMENTS)
    return codec, latent.astype(np.float32) / np.float32(SCALE), states


def test_every_state_of_a_stream_is_accepted(stream: Any) -> None:
    """The network gets the state, negative ones too; the estimate stays in the bounds."""
    codec, _, states = stream
    assert [state.state for state in states] == [*reversed(STATES)]
    told: list[int] = []
    network = codec.model.network
    hook = network.register_forward_pre_hook(lambda _, given: told.append(int(given[1][0])))
    for state in states:
        shown = reverse(network, state, "regression", codec.model.noise, 0)
        start = reverse(network, state, "mean", codec.model.noise, 0)
        assert shown.shape == start.shape == (32, 33, 6)
        assert not np.array_equal(shown, start)
        np.testing.assert_allclose(project(shown, state), shown, atol=1e-5)
    assert told == [state.state for state in states]
    hook.remove()


def test_diffusion_of_a_finest_state_is_its_regression(stream: Any) -> None:
    codec, _, states = stream
    for state in states:
        shown = [
            reverse(codec.model.network, state, decoder, codec.model.noise, 0)
            for decoder in ("regression", "diffusion")
        ]
        assert np.array_equal(*shown) == (state.state <= 0)


def test_a_projection_never_increases_the_error_of_the_latent(stream: Any) -> None:
    """Of palette and refined states, of estimates that are far and near.

    But for the rounding of the palette's values: the original has the property that is imposed to
    within a fiftieth of the state's own error, and exactly in a refined state.
    """
    codec, goal, states = stream
    rng = np.random.default_rng(1)
    for state in states:
        own = float(np.mean((project(goal, state) - goal) ** 2))
        error = float(np.mean((state.latent(6) / SCALE - goal) ** 2))
        assert own < 0.02 * error
        assert state.state >= 0 or own == 0
        estimate = reverse(codec.model.network, state, "mean", codec.model.noise, 0)
        for size in (0.02, 0.3, 2.0):
            guess = np.float32(estimate + size * rng.standard_normal(goal.shape) + size)
            before, after = (np.mean((z - goal) ** 2) for z in (guess, project(guess, state)))
            assert after <= before * (1 + 1e-5) + own
            assert size < 2 or after < before


# ----- Training


def pool() -> TrainingData:
    images = tuple(make_picture(136, 152, seed) for seed in range(2))
    return TrainingData(images, "digest", ())


@pytest.fixture(scope="module")
def examples() -> Any:
    model = load_autoencoder(part_file(tiny_block_models() / NAME, "autoencoder"))
    return training.make_examples(model, pool(), side=8)


def test_an_example_has_all_states_of_a_stream(examples: Any) -> None:
    """The finest first: the error falls with every refinement and rises with every merging."""
    assert len(examples) == 2
    for example in examples:
        assert len(example.states) == LEVELS
        assert example.latent.shape == (17, 19, 6)
        errors = [np.mean((z - example.latent) ** 2) for z in example.states]
        assert errors == sorted(errors)
        assert errors[0] < 0.05 * errors[REFINEMENTS]
        for palette in example.states[REFINEMENTS:]:
            assert not palette[:, :, 4:].any()
        assert example.states[0][:, :, 4:].any()


def test_noise_is_the_error_of_the_palette_states(examples: Any) -> None:
    errors = training.state_errors(examples)
    assert errors.shape == (LEVELS, 6)
    finest = [np.mean((e.states[0] - e.latent) ** 2, (0, 1)) for e in examples]
    np.testing.assert_allclose(errors[0], np.mean(finest, 0), rtol=1e-4)
    found = training.state_noise(errors, each_channel=True)
    assert np.shape(found) == (8, 6)
    for t, row in enumerate(found):
        error = [np.mean((e.states[t + 6] - e.latent) ** 2, (0, 1)) for e in examples]
        np.testing.assert_allclose(row, np.mean(error, 0), rtol=1e-4)
    whole = training.state_noise(errors)
    np.testing.assert_allclose(whole, np.mean(found, 1), rtol=1e-4)


def test_every_state_is_drawn_with_its_latent(examples: Any) -> None:
    """All fourteen alike; without walks each start is the state's part of one of the images."""
    noise = training.state_noise(training.state_errors(examples), each_channel=True)
    count = 420
    rng = np.random.default_rng(5)
    starts, levels, goals, pixels = training.draw(examples, noise, rng, count, 8, walk=0.0)
    drawn = np.bincount(levels.numpy() + REFINEMENTS, minlength=LEVELS)
    assert len(drawn) == LEVELS
    assert drawn.min() > 0.5 * count / LEVELS
    assert (starts.shape, goals.shape, pixels.shape) == (
        (count, 6, 8, 8), (count, 6, 8, 8), (count, 3, 64, 64),
    )  # fmt: skip
    for start, level, goal, picture in zip(
        starts[:60], levels[:60].tolist(), goals[:60], pixels[:60], strict=True
    ):
        assert any(
            np.array_equal(goal.permute(1, 2, 0), example.latent[place])
            and np.array_equal(start.permute(1, 2, 0), example.states[level + 6][place])
            and np.allclose(
                picture.permute(1, 2, 0).numpy() * 127.5 + 127.5,
                example.image[8 * top : 8 * top + 64, 8 * left : 8 * left + 64],
                atol=1e-3,
            )
            for example in examples
            for top in range(10)
            for left in range(12)
            for place in [(slice(top, top + 8), slice(left, left + 8))]
        )


def test_walks_are_of_palette_states_alone(examples: Any) -> None:
    """Interpolated examples have the index of a finer palette state; refined ones stay as coded."""
    noise = training.state_noise(training.state_errors(examples), each_channel=True)
    rng = np.random.default_rng(6)
    starts, levels, goals, _ = training.draw(examples, noise, rng, 400, 8, walk=1.0)
    assert levels.min() == -6
    assert levels.max() == 6  # from state 7
    assert (levels <= 0).float().mean() > 0.5
    errors = (starts - goals).square().mean((1, 2, 3)).numpy()
    for level in range(-6, 0):
        mine = errors[levels.numpy() == level]
        most = max(np.mean((e.states[level + 6] - e.latent) ** 2) for e in examples)
        assert mine.mean() < 2 * most


def train(folder: Path, home: Path, steps: int = 1, **keys: Any) -> tuple[Any, Any]:
    session = Session(folder / "c.pt", folder / "losses.csv", keys.pop("start", None))
    schedule = Schedule(steps=steps, batch=2, learning_rate=1e-3)
    sizes = replace(SETTINGS, latent=99)  # follows from the autoencoder
    return training.train_reverse(home, schedule, pool(), session, sizes, crop=64)


@pytest.mark.parametrize("blocks", [True, False])
def test_its_file_says_what_it_is_of(blocks: bool, tmp_path: Path) -> None:
    """The scale of the latent's channels; noise per channel where their variances differ."""
    home = (tiny_block_models() if blocks else tiny_models()) / NAME
    state, about = train(tmp_path, home)
    channels = 6 if blocks else 4
    assert about["network"] == {**SETTINGS.values(), "latent": channels}
    assert np.shape(about["noise"]) == ((8, 6) if blocks else (8,))
    model = load_autoencoder(part_file(home, "autoencoder"))
    latents = [model.latent(image).astype(float) / SCALE for image in pool().images]
    deviation = np.sqrt(np.mean([np.mean(z**2, (0, 1)) for z in latents], 0))
    np.testing.assert_allclose(state["scale"].numpy(), deviation, rtol=2e-3)
    levels = [state[f"blocks.{number}.level.weight"] for number in range(SETTINGS.blocks)]
    assert all(level.shape == (LEVELS, 8) for level in levels)


def test_crops_that_no_image_holds_are_an_error(tmp_path: Path) -> None:
    home = tiny_block_models() / NAME
    session = Session(tmp_path / "c.pt", tmp_path / "losses.csv")
    schedule = Schedule(steps=1, batch=1, learning_rate=1e-3)
    with pytest.raises(DatasetError, match="no image of 256 pixels a side"):
        training.train_reverse(home, schedule, pool(), session)
