"""The autoencoder of blocks: components, corrections, scale of the latent, locality, its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_picture
from fake_cuda import fake_cuda
from tiny_model import BLOCKS, lively_blocks, tiny_block_models

from icmbench.bitstream import container
from icmbench.codecs.mpd.codec import Mpd
from icmbench.codecs.mpd.model_folder import part_file
from icmbench.codecs.mpd.training.autoencoder import principal_components
from icmbench.core.errors import ModelError
from icmbench.models.block_autoencoder import (
    VALUES,
    BlockAutoencoder,
    BlockSettings,
    block_values,
    build_blocks,
    scale_channels,
)
from icmbench.models.latent import CELL, OVERLAP, SCALE, latent_image, scaled_latent, tiles
from icmbench.models.latent_autoencoder import load_autoencoder
from icmbench.models.tensors import load_arrays, save_arrays
from icmbench.training.data import TrainingData

pytestmark = pytest.mark.usefixtures("one_thread", "no_gradients")

# Cells to which a convolution's border reaches: 3 x 3 convolutions on grids of 1/8, 1/4 and 1/2.
ENCODER_REACH = 8  # 5 at 1/8, 5 at 1/4
DECODER_REACH = 6  # of `BLOCKS`: 3 at 1/8, 2 at 1/4, 3 at 1/2


def pool() -> TrainingData:
    """Three pictures, whose centre crops are the whole of each."""
    images = tuple(make_picture(64, 64, seed) for seed in range(3))
    return TrainingData(images, "digest", ())


def pixels_of(image: np.ndarray) -> torch.Tensor:
    values = image.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(127.5) - 1
    return torch.from_numpy(values)


def blocks_of(image: np.ndarray) -> np.ndarray:
    """The 8 x 8 blocks of an image in [-1, 1] by row and column, float64 (h w, 192), of numpy."""
    height, width = image.shape[0] // CELL, image.shape[1] // CELL
    values = image.astype(np.float64) / 127.5 - 1
    parts = values.reshape(height, CELL, width, CELL, 3).transpose(0, 2, 4, 1, 3)
    return parts.reshape(height * width, VALUES)


def latent_of(network: BlockAutoencoder, image: np.ndarray) -> torch.Tensor:
    return network.encode(pixels_of(image)).latent_dist.mode()


# ----- Components


def test_blocks_are_in_the_order_of_the_analysis() -> None:
    image = make_picture(24, 40, 3)
    np.testing.assert_allclose(block_values(pixels_of(image)), blocks_of(image), atol=1e-6)


def test_components_are_those_of_the_blocks() -> None:
    """Orthonormal, of a defined sign; the leading ones leave the least error of all projections."""
    data = pool()
    rows, mean = principal_components(data)
    assert np.allclose(rows @ rows.T, np.eye(VALUES), atol=1e-10)
    assert (rows[np.arange(VALUES), np.abs(rows).argmax(1)] > 0).all()
    blocks = np.concatenate([blocks_of(image) for image in data.images])
    assert np.allclose(mean, blocks.mean(0), atol=1e-6)
    centred = blocks - mean
    singular = np.linalg.svd(centred, compute_uv=False)
    for count in (1, 4, 16):
        rest = centred - centred @ rows[:count].T @ rows[:count]
        assert (rest**2).sum() == pytest.approx((singular[count:] ** 2).sum(), rel=1e-4)


@pytest.mark.parametrize("latent", [1, 6, VALUES])
def test_an_untrained_network_is_the_projection_on_the_components(latent: int) -> None:
    """To the rounding of float32, whatever the seed of the corrections; with all of them, exact."""
    settings = BlockSettings(latent=latent, encoder=(8, 8), decoder=(8, 8, 8), blocks=(1, 2, 1))
    rows, mean = principal_components(pool())
    image = make_picture(40, 72, 9)  # none of the pool
    blocks = blocks_of(image)
    coordinates = (blocks - mean) @ rows[:latent].T
    expected = mean + coordinates @ rows[:latent]
    for seed in (1, 2):
        network = build_blocks(settings, seed, (rows, mean))
        found = latent_of(network, image)
        assert found.shape == (1, latent, 5, 9)
        np.testing.assert_allclose(found[0].flatten(1).T, coordinates, atol=2e-5)
        shown = network.decode(found).sample
        assert shown.shape == (1, 3, 40, 72)
        np.testing.assert_allclose(block_values(shown), expected, atol=2e-5)
        if latent == VALUES:
            np.testing.assert_allclose(shown, pixels_of(image), atol=2e-5)


def test_the_seed_decides_the_corrections_alone() -> None:
    before = torch.random.get_rng_state()
    one, same, other = (build_blocks(BLOCKS, s, principal_components(pool())) for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    states = [network.state_dict() for network in (one, same, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    differing = {name for name in states[0] if not torch.equal(states[0][name], states[2][name])}
    assert differing
    assert all(name.startswith(("encoder.", "decoder.")) for name in differing)


# ----- Scale


def test_a_scale_of_the_channels_leaves_every_image_as_it_is() -> None:
    """The latent's channels are multiplied, the corrections of both sides included."""
    plain, scaled = lively_blocks(), lively_blocks()
    factors = np.array([0.2, 3.0, 1.0, 0.5, 7.0, 0.05])
    scale_channels(scaled, factors)
    image = make_picture(56, 64, 4)
    before, after = latent_of(plain, image), latent_of(scaled, image)
    times = torch.from_numpy(factors).float()[:, None, None]
    torch.testing.assert_close(after, before * times, rtol=1e-4, atol=1e-5)
    shown = [n.decode(z).sample for n, z in ((plain, before), (scaled, after))]
    torch.testing.assert_close(shown[1], shown[0], rtol=1e-4, atol=1e-4)
    wrong = scaled.decode(before).sample  # or scale does nothing at all
    assert (wrong - shown[0]).abs().max() > 0.1


# ----- Locality


def test_a_crop_has_the_latent_of_the_whole_image() -> None:
    """But for the cells that the crop's border reaches, whose number the layers tell."""
    network, image = lively_blocks(), make_picture(256, 256, 5)
    whole = latent_of(network, image)[0]
    part = latent_of(network, image[48:248, 40:240])[0]
    gap = (part - whole[:, 6:31, 5:30]).abs().amax(0)
    inner = slice(ENCODER_REACH, -ENCODER_REACH)
    assert gap[inner, inner].max() < 1e-4
    assert gap[0].max() > 1e-2  # the border is padded with zeros: the correction takes part
    shown = network.decode(whole[None]).sample[0]
    small = network.decode(whole[None, :, 6:31, 5:30]).sample[0]
    gap = (small - shown[:, 48:248, 40:240]).abs().amax(0)
    inner = slice(8 * DECODER_REACH, -8 * DECODER_REACH)
    assert gap[inner, inner].max() < 1e-4
    assert gap[0].max() > 1e-2


def test_an_image_in_tiles_is_the_whole_image_but_near_their_borders() -> None:
    """No statistic of a tile changes its cells; between tiles there is no step."""
    network, image = lively_blocks(), make_picture(8 * 70, 8 * 40, 6)
    mean, std = np.zeros(6, np.float32), np.full(6, 2.0, np.float32)
    whole, cut = (
        scaled_latent(network, image, mean, std, whole=most, side=44) for most in (10**6, 44**2)
    )
    spans = {(rows.start, rows.stop) for rows, _ in tiles(70, 40, 44**2, 44)}
    assert spans == {(0, 39), (31, 70)}
    near = np.zeros(70, bool)  # what a border reaches lies within the overlap
    near[31:39] = True
    assert np.abs(cut - whole)[~near].max() <= 1
    assert 1 < np.abs(cut - whole)[near].max() < np.std(whole)
    shown = [
        latent_image(network, whole / SCALE, mean, std, image.shape[:2], whole=most, side=44)
        for most in (10**6, 44**2)
    ]
    gap = np.abs(shown[0].astype(int) - shown[1])
    assert gap[np.repeat(~near, CELL)].max() <= 1
    assert gap.max() > 1
    assert OVERLAP == 8


# ----- Settings, the file


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder": (8,)}, r"encoder \(8,\): 2 positive whole numbers"),
        ({"encoder": (8, 0)}, r"encoder \(8, 0\): 2 positive"),
        ({"decoder": (8, 8)}, r"decoder \(8, 8\): 3 positive"),
        ({"blocks": (1, 1, 1, 1)}, r"blocks \(1, 1, 1, 1\): 3 positive"),
        ({"blocks": (0, 1, 1)}, r"blocks \(0, 1, 1\): 3 positive"),
        ({"latent": 0}, "latent 0: from 1 to 192"),
        ({"latent": VALUES + 1}, "latent 193: from 1 to 192"),
    ],
)
def test_sizes_that_are_no_network_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BlockSettings(**settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": {**BLOCKS.values(), "encoder": [8]}}, "describe no network"),
        ({"network": {**BLOCKS.values(), "layers": 1}}, "network.layers is unknown"),
        ({"network": {**BLOCKS.values(), "latent": 5}}, r"expected \(5, 192, 1, 1\)"),
        ({"layout": "block"}, "layout is 'block', not one of blocks, "),
        ({"layout": None}, r"network\.\w+ is (missing|unknown)"),
        ({"directions": 7}, "directions is 7, expected 1 to 6"),
        ({"directions": None}, "directions is None, expected 1 to 6"),
        ({"mean": [0.0] * 5}, "mean and std are not those of 6 channels"),
    ],
)
def test_a_file_is_read_strictly(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    arrays, metadata = load_arrays(part_file(tiny_block_models() / "mpd", "autoencoder"))
    save_arrays(tmp_path / "a", arrays, {**metadata, **change})
    with pytest.raises(ModelError, match=message) as caught:
        load_autoencoder(tmp_path / "a")
    assert str(tmp_path / "a") in str(caught.value)


@pytest.mark.parametrize("name", ["analysis.weight", "synthesis.bias", "encoder.2.second.weight"])
def test_every_tensor_is_needed(name: str, tmp_path: Path) -> None:
    arrays, metadata = load_arrays(part_file(tiny_block_models() / "mpd", "autoencoder"))
    del arrays[name]
    save_arrays(tmp_path / "a", arrays, metadata)
    with pytest.raises(ModelError, match=f"tensor '{name}' is missing"):
        load_autoencoder(tmp_path / "a")


def test_the_palette_carries_what_the_file_states(tmp_path: Path) -> None:
    path = part_file(tiny_block_models() / "mpd", "autoencoder")
    model = load_autoencoder(path)
    assert isinstance(model.network, BlockAutoencoder)
    assert (model.channels, model.carried) == (6, 4)
    assert not model.network.training
    assert not any(weight.requires_grad for weight in model.network.parameters())
    arrays, metadata = load_arrays(path)
    del metadata["directions"]
    save_arrays(tmp_path / "a", arrays, metadata)
    assert load_autoencoder(tmp_path / "a").carried == 6


# ----- Streams


def test_streams_of_every_decoder_on_fake_cuda() -> None:
    """The latent and the pictures of the CPU, from a network that lies on the device."""
    image = make_picture(88, 72, 2)
    codec = Mpd(models=tiny_block_models())
    latent, stream = codec.model.latent(image), codec.encode(image)
    states = codec.model.states(container.parse(stream))
    assert {state.latent().shape[2] for state in states if state.state < 0} == {6}
    cuts = {state: codec.truncate(stream, state=state) for state in (4, 0, -3)}
    decoders = ("mean", "regression", "diffusion")
    expected = [codec.decode(cut, decoder=d) for cut in cuts.values() for d in decoders]
    assert not np.array_equal(expected[0], expected[1])
    with fake_cuda() as machine:
        other = Mpd(models=tiny_block_models(), device="cuda")
        found = other.model.latent(image)
        shown = [other.decode(cut, decoder=d) for cut in cuts.values() for d in decoders]
        assert machine.operations > 50
    assert np.abs(found.astype(int) - latent).max() <= 2
    for one, two in zip(expected, shown, strict=True):
        assert np.abs(one.astype(int) - two).max() <= 1
