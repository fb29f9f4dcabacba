"""The file that a training of the autoencoder writes: its latent's order, scale and range."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_picture
from tiny_model import BLOCKS

from icmbench.codecs.mpd.model_folder import part_file
from icmbench.codecs.mpd.training.autoencoder import (
    common_scale,
    make_autoencoder,
    principal_components,
)
from icmbench.core.errors import ModelError
from icmbench.models.block_autoencoder import BlockAutoencoder, build_blocks, scale_channels
from icmbench.models.headers import read_header
from icmbench.models.latent import LIMIT, SCALE
from icmbench.models.latent_autoencoder import LatentAutoencoder, load_autoencoder
from icmbench.models.tensors import save_network
from icmbench.training.data import TrainingData
from icmbench.training.loop import Schedule, Session

pytestmark = pytest.mark.usefixtures("one_thread")

SCHEDULE = Schedule(steps=30, batch=2, learning_rate=4e-3)
FACTORS = np.array([0.2, 8.0, 1.0, 0.3, 3.0, 12.0])


def pool() -> TrainingData:
    images = tuple(make_picture(96, 80 + 8 * seed, seed) for seed in range(4))
    return TrainingData(images, "digest", (("pictures", 4),))


def make(folder: Path, schedule: Schedule = SCHEDULE, carried: int = 4, start: Path | None = None):  # type: ignore[no-untyped-def]
    path = part_file(folder, "autoencoder")
    session = Session(folder / "c.pt", folder / "losses.csv", start)
    make_autoencoder(path, schedule, pool(), session, crop=64, carried=carried, settings=BLOCKS)
    return load_autoencoder(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LatentAutoencoder:
    """A network after a few steps."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    made: LatentAutoencoder = make(tmp_path_factory.mktemp("made"))
    torch.set_num_threads(before)
    return made


@pytest.fixture(scope="module")
def rescaled(tmp_path_factory: pytest.TempPathFactory) -> LatentAutoencoder:
    """A training that changes nothing, from a network whose channels are of unlike sizes."""
    folder = tmp_path_factory.mktemp("rescaled")
    network = build_blocks(BLOCKS, 1, principal_components(pool()))
    scale_channels(network, FACTORS)
    about = {"layout": "blocks", "network": BLOCKS.values(), "mean": [0.0] * 6, "std": [1.0] * 6}
    save_network(part_file(folder / "start", "autoencoder"), network.state_dict(), about)
    schedule = Schedule(steps=1, batch=1, learning_rate=1e-9)
    made: LatentAutoencoder = make(folder, schedule, start=folder / "start")
    return made


def test_its_file_states_layout_channels_and_one_scale(model: LatentAutoencoder) -> None:
    metadata = read_header(model.path)
    assert metadata["layout"] == "blocks"
    assert metadata["network"] == BLOCKS.values()
    assert metadata["directions"] == model.carried == 4
    assert len(metadata["mean"]) == 6
    assert len(metadata["std"]) == 6
    assert len(set(metadata["std"])) == 1
    assert metadata["provenance"]["steps"] == 30
    assert isinstance(model.network, BlockAutoencoder)


def test_the_range_holds_the_training_data(model: LatentAutoencoder) -> None:
    """Every value, with a twentieth to spare; the largest one decides the scale of all channels."""
    largest = max(np.abs(model.scaled_latent(image)).max() for image in crops())
    assert largest == pytest.approx(LIMIT / 1.05, rel=1e-3)
    for image in pool().images:
        assert (model.latent(image) == model.scaled_latent(image)).all()
    values = np.concatenate([model.scaled_latent(image).reshape(-1, 6) for image in crops()])
    assert np.abs(values.mean(0)).max() < 2e-3 * SCALE


def crops() -> list[np.ndarray]:
    """The centre crops of the pictures: squares of whole cells."""
    found = []
    for image in pool().images:
        side = min(image.shape[:2]) // 8 * 8
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        found.append(image[top : top + side, left : left + side])
    return found


def test_a_common_scale_is_that_of_the_largest_value() -> None:
    latents = [np.float32([[1, 3, 5], [0, 0, 6]]), np.float32([[3], [2]])]
    mean, scale = common_scale(latents)
    assert mean.tolist() == [3, 2]
    assert scale == pytest.approx(1.05 * 4 * SCALE / LIMIT)


@torch.no_grad()
def effect(model: LatentAutoencoder, channel: int) -> float:
    """Squared change of the image by a unit of squared change in a channel of the latent.

    Of small changes with random signs in every cell, of all pictures.
    """
    network, generator = model.network, torch.Generator().manual_seed(channel)
    found, size = [], 0.01
    for image in crops():
        pixels = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1)
        latent = network.encode(pixels).latent_dist.mode()
        for _ in range(4):
            change = torch.zeros_like(latent)
            signs = torch.randint(2, latent.shape[2:], generator=generator) * 2 - 1
            change[:, channel] = size * signs
            gap = network.decode(latent + change).sample - network.decode(latent).sample
            found.append(float(gap.square().sum() / change.square().sum()))
    return float(np.mean(found))


@pytest.mark.parametrize("channel", range(6))
def test_a_distance_of_latents_is_the_error_of_their_images(
    model: LatentAutoencoder, channel: int
) -> None:
    """In every channel, of a network whose decoder is no longer orthonormal."""
    assert effect(model, channel) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("channel", range(6))
def test_channels_of_unlike_sizes_are_scaled(rescaled: LatentAutoencoder, channel: int) -> None:
    assert effect(rescaled, channel) == pytest.approx(1, abs=0.1)


def test_scaled_channels_come_in_the_order_of_their_variance(rescaled: LatentAutoencoder) -> None:
    """The components' own, whatever the sizes at the start."""
    values = np.concatenate([rescaled.scaled_latent(image).reshape(-1, 6) for image in crops()])
    deviations = values.std(0)
    assert (np.diff(deviations) < 0).all()


def test_a_palette_cannot_carry_more_channels_than_there_are(tmp_path: Path) -> None:
    text = r"training\.mpd\.autoencoder\.carried: 7, but the latent has 6 channels"
    with pytest.raises(ModelError, match=text):
        make(tmp_path, carried=7)
    assert not list(tmp_path.iterdir())
    whole = Schedule(steps=1, batch=1, learning_rate=1e-3)
    assert make(tmp_path, whole, carried=6).carried == 6


def test_the_same_training_makes_the_same_file(tmp_path: Path) -> None:
    short = Schedule(steps=3, batch=1, learning_rate=1e-3)
    files = [make(tmp_path / name, short).path.read_bytes() for name in ("a", "b")]
    assert files[0] == files[1]
    other = make(tmp_path / "c", short, carried=2).path.read_bytes()
    assert other != files[0]
