"""The bundled model of Diff-ICMH: whole, as its card says, and its rates are rates."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from conftest import make_picture

from icmbench.bitstream import container
from icmbench.bitstream.folding import pad
from icmbench.codecs.diff_icmh.codec import CODEC_ID
from icmbench.codecs.diff_icmh.diff_icmh_model import Z_SHARES, DiffICMHModel
from icmbench.codecs.diff_icmh.entropy.stream import code_sections, read_sections
from icmbench.codecs.diff_icmh.model_folder import LAYOUT, bundled
from icmbench.codecs.diff_icmh.networks.lfgcm import STRIDE
from icmbench.core.files import sha256_file
from icmbench.models.card import first_start, model_card
from icmbench.models.latent import CELL
from icmbench.scenes import render_scene

MEGABYTE = 1e6


@pytest.fixture(scope="module")
def model() -> DiffICMHModel:
    return DiffICMHModel(None, "cpu")


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """Scenes of the validation split, which no training sees, and a picture of another kind."""
    scenes = [render_scene(1, "val", index, 144, 128).image for index in range(3)]
    return [*scenes, make_picture(150, 130)]


def test_sizes_and_card() -> None:
    sizes = {path.stem: path.stat().st_size for path in bundled().glob("*.safetensors")}
    assert sizes["prior"] + sizes["tagger"] <= 12 * MEGABYTE
    assert sizes["codec"] <= 6 * MEGABYTE
    assert sizes["control"] <= 6 * MEGABYTE
    card = json.loads((bundled() / "card.json").read_text())
    assert card == json.loads(json.dumps(model_card(LAYOUT, bundled())))
    for name in sizes:
        file = f"{name}.safetensors"
        assert card["files"][file]["sha256"] == sha256_file(bundled() / file)


def test_the_card_tells_every_training_of_the_codec() -> None:
    """Each from the file of the one before, the first from scratch."""
    about = json.loads((bundled() / "card.json").read_text())["files"]["codec.safetensors"]
    provenance, steps = about["provenance"], 0
    while "former" in provenance:
        assert provenance["former"]["sha256"] == first_start(provenance)
        steps += provenance.get("before", {}).get("steps", 0)
        assert provenance["conditions"]["hours"] > 0.1
        provenance = provenance["former"]
    assert provenance["before"]["start"] == "scratch"
    assert steps + provenance["before"]["steps"] >= 40_000
    assert provenance["before"]["conditions"]["hours"] > 0.1


def test_rates_are_ordered(model: DiffICMHModel, pictures: list[np.ndarray]) -> None:
    """More bits at every rate on every image, and on the mean a better c."""
    errors = np.zeros((len(pictures), model.rates))
    for row, image in zip(errors, pictures, strict=True):
        header = container.Header(CODEC_ID, model.digest, image.shape[1], image.shape[0])
        latent = model.latent(pad(image, STRIDE)).transpose(2, 0, 1)
        lengths = []
        for rate in range(1, model.rates + 1):
            stream = model.encode(image, header, rate=rate, tags="auto")
            lengths.append(len(stream))
            c = model.conditioning(model.read(container.parse(stream)))[0].numpy()
            row[rate - 1] = np.mean((c - latent) ** 2)
        assert lengths == sorted(set(lengths))
    mean = errors.mean(0)
    assert (np.diff(mean) < 0).all(), mean


def test_the_encoder_takes_the_best_z(model: DiffICMHModel, pictures: list[np.ndarray]) -> None:
    """Of z and smaller ones that with the least product of bytes and error of c."""
    image, words = pictures[0][:100, :120], len(model.prior.vocabulary)
    size = image.shape[0], image.shape[1]
    padded = pad(image, STRIDE)
    ref = torch.from_numpy(model.latent(padded).transpose(2, 0, 1)[None].copy())
    pixels = torch.from_numpy(padded.transpose(2, 0, 1)[None].astype(np.float32) / 255)
    with torch.inference_mode():
        y, z = model.codec.lfgcm.analyse(pixels, ref, 2)

    def cost(sections: list[bytes]) -> float:
        coded = read_sections(model.codec, tuple(sections), size, words)
        rows, columns = (-(-side // CELL) for side in size)
        error = (model.conditioning(coded) - ref)[..., :rows, :columns].square().mean()
        return sum(map(len, sections)) * float(error)

    with torch.inference_mode():
        found = cost(model._sections(size, y, z, ref, 2, ()))
        costs = [
            cost(code_sections(model.codec, size, y, share * z, 2, (), words)[0])
            for share in Z_SHARES
        ]
        # A z that spoils everything is not taken.
        spoiled = torch.where(torch.arange(z.numel()).reshape(z.shape) % 7 == 0, 900.0, z)
        kept = cost(model._sections(size, y, spoiled, ref, 2, ()))
    assert found == min(costs)
    assert len(set(costs)) == len(costs)
    assert kept <= costs[-1]  # that without z


def test_no_bits_are_spent_on_padding(model: DiffICMHModel, pictures: list[np.ndarray]) -> None:
    """What y holds in the padding neither changes the file nor what is read from it."""
    size, words = (72, 80), len(model.prior.vocabulary)
    lfgcm = model.codec.lfgcm
    y = torch.randn(1, lfgcm.settings.latent, 8, 8, generator=torch.Generator().manual_seed(1)) * 3
    z = torch.zeros(1, lfgcm.settings.hyper, 2, 2)
    other = y.clone()
    other[..., 5:, :] += 7  # the image has 4.5 rows and 5 columns of y
    other[..., 5:] -= 9
    with torch.inference_mode():
        (sections, coded), (others, _) = (
            code_sections(model.codec, size, values, z, 1, (), words) for values in (y, other)
        )
        read = read_sections(model.codec, tuple(sections), size, words)
        everything, _ = code_sections(model.codec, (128, 128), y, z, 1, (), words)
        changed = y.clone()
        changed[..., 4, 4] += 7
        inside, _ = code_sections(model.codec, size, changed, z, 1, (), words)
    assert others == sections != inside
    assert torch.equal(read.y_hat, coded.y_hat)
    assert len(sections[2]) < 0.45 * len(everything[2])  # 25 of 64 values


def test_half_types_give_nearly_the_same_image(
    model: DiffICMHModel, pictures: list[np.ndarray]
) -> None:
    """One stream: close to float32 and not equal, repeatable, float32 unchanged afterwards."""
    image = pictures[0]
    header = container.image_header(CODEC_ID, model.digest, *image.shape[:2], 64)
    stream = model.encode(image, header, rate=2, tags="auto")
    parsed = container.parse(stream, codec_id=CODEC_ID, unit=64)
    how = {"sampler": "ddim", "steps": 4, "guidance": 2.0}
    whole = model.decode(stream, parsed, **how)
    for dtype in ("bfloat16", "float16", "bfloat16"):
        half = model.decode(stream, parsed, dtype=dtype, **how)
        again = model.decode(stream, parsed, dtype=dtype, **how)
        assert np.array_equal(half, again)
        assert not np.array_equal(half, whole)
        error = np.abs(half.astype(int) - whole)
        assert error.mean() < 4, dtype
    assert np.array_equal(model.decode(stream, parsed, **how), whole)
    plain = model.decode(stream, parsed, sampler="none")
    assert np.array_equal(model.decode(stream, parsed, sampler="none", dtype="float16"), plain)
