"""Thin pictures are folded: the work of coding them follows their pixels, whatever their shape."""

from __future__ import annotations

import dataclasses
import functools
import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_picture
from hypothesis import example, given
from hypothesis import strategies as st
from tiny_icmh import tiny_icmh_models
from tiny_model import tiny_models

from icmbench.bitstream import container
from icmbench.bitstream.folding import MAX_PIXELS, coded_size, fold, strips, unfold, whole
from icmbench.codecs.diff_icmh.codec import DiffIcmh
from icmbench.codecs.mpd.codec import Mpd
from icmbench.codecs.mpd.inspect import layers
from icmbench.codecs.mpd.stream.coder import section_states
from icmbench.codecs.raw_test import RawTest
from icmbench.codecs.specs import parse_spec
from icmbench.core.errors import CorruptStream, UnsupportedVersion
from icmbench.models.latent import latent_shape
from icmbench.reporting.figures.hierarchy import Level, entry_colours, entry_map, palette_hierarchy
from icmbench.studies.diffusion import Coded, accounting_rows, uncropped
from icmbench.studies.framework import framework_rows

UNITS = {"mpd": 8, "diff-icmh": 64}
THIN = {"mpd": ((1, 90_000), (60_000, 2)), "diff-icmh": ((1, 20_000), (12_000, 3))}
CASES = [(name, size) for name, sizes in THIN.items() for size in sizes]
ORDINARY = [
    ("mpd", 768, 512), ("mpd", 1, 1), ("mpd", 3, 10), ("mpd", 300, 1), ("mpd", 1, 300),
    ("mpd", 4000, 6000), ("mpd", 1, 32_768), ("mpd", 5, 200_000),
    ("diff-icmh", 1, 1), ("diff-icmh", 300, 1), ("diff-icmh", 32, 4_096), ("diff-icmh", 33, 90_000),
    ("raw-test", 1, 90_000),
]  # fmt: skip


@functools.cache
def codec(name: str) -> Any:
    torch.set_num_threads(1)
    if name == "mpd":
        return Mpd()  # the bundled model
    return DiffIcmh(models=tiny_icmh_models())


@functools.cache
def picture(height: int, width: int) -> np.ndarray:
    return make_picture(height, width)


@functools.cache
def stream(name: str, size: tuple[int, int]) -> bytes:
    keys = {"rdo": 0} if name == "mpd" else {}
    data: bytes = codec(name).encode(picture(*size), **keys)
    return data


def decoded(name: str, data: bytes) -> np.ndarray:
    keys = {"decoder": "mean"} if name == "mpd" else {"sampler": "none"}
    shown: np.ndarray = codec(name).decode(data, **keys)
    return shown


def numbered(height: int, width: int) -> np.ndarray:
    """A picture whose pixels all differ."""
    numbers = np.arange(height * width, dtype="<u4").reshape(height, width, 1)
    return numbers.view(np.uint8)[..., :3].copy()


# ----- the fold


@given(
    short=st.integers(1, 70), long=st.integers(1, 100_000),
    unit=st.sampled_from([1, 8, 64]), tall=st.booleans(),
)  # fmt: skip
@example(short=1, long=32_769, unit=8, tall=False)
@example(short=4, long=32_769, unit=8, tall=True)
@example(short=3, long=99_999, unit=8, tall=True)
@example(short=32, long=4_097, unit=64, tall=False)
@example(short=65, long=2_049, unit=64, tall=False)
def test_every_size_comes_back(short: int, long: int, unit: int, tall: bool) -> None:
    """And what is coded has about twice the picture's pixels at most where there are many."""
    height, width = (long, short) if tall else (short, long)
    image = numbered(height, width)
    folded = fold(image, unit)
    size = coded_size(height, width, unit)
    assert folded.shape == (*size, 3)
    assert np.array_equal(unfold(folded, (height, width), unit), image)
    rows, columns = whole(size[0], unit), whole(size[1], unit)
    assert rows * columns <= max(MAX_PIXELS, 2.1 * height * width)
    assert strips(*size, unit) == 1
    assert strips(rows, columns, unit) == 1
    if whole(height, unit) * whole(width, unit) <= MAX_PIXELS:
        assert folded is image


def test_strips_are_stacked_in_order() -> None:
    image = numbered(2, 90_001)
    folded = fold(image, 8)
    assert folded.shape == (8, 22_501, 3)
    for strip in range(4):
        part = image[:, strip * 22_501 : (strip + 1) * 22_501]
        assert np.array_equal(folded[2 * strip : 2 * strip + 2, : part.shape[1]], part)
    assert (folded[6:, 22_498:] == image[:, -1:]).all()
    turned = fold(image.swapaxes(0, 1), 8)
    assert np.array_equal(turned, folded.swapaxes(0, 1))


# ----- codecs


@pytest.mark.parametrize(("name", "size"), CASES)
def test_round_trip(name: str, size: tuple[int, int]) -> None:
    data = stream(name, size)
    assert container.read_header(data)[0] == container.Header(
        codec(name).codec_id, codec(name).model.digest, size[1], size[0], version=2
    )
    shown = decoded(name, data)
    assert shown.shape == (*size, 3)
    assert shown.flags["C_CONTIGUOUS"]
    lines = dict(codec(name).describe(data))
    rows, columns = coded_size(*size, UNITS[name])
    assert lines["image"] == f"{size[1]}x{size[0]}"
    assert lines["folded"] == f"in {strips(*size, UNITS[name])} strips, coded as {columns}x{rows}"


@pytest.mark.parametrize("size", THIN["mpd"])
def test_a_thin_picture_is_its_folded_picture(size: tuple[int, int]) -> None:
    """The sections are those of the folded picture, and what they show is unfolded."""
    plain = codec("mpd").encode(np.ascontiguousarray(fold(picture(*size), 8)), rdo=0)
    own, other = container.parse(stream("mpd", size), unit=8), container.parse(plain, unit=8)
    assert own.sections == other.sections
    assert (own.header.version, other.header.version) == (2, 1)
    shown = fold(decoded("mpd", stream("mpd", size)), 8)
    assert np.array_equal(shown, decoded("mpd", plain))


@pytest.mark.parametrize("size", THIN["mpd"])
def test_states_of_a_folded_picture(size: tuple[int, int]) -> None:
    """Truncation, best effort and the figures count the cells of the folded picture."""
    mpd, data = codec("mpd"), stream("mpd", size)
    cells = math.prod(latent_shape(*size))
    found = layers(mpd.model, data)
    assert len(section_states(cells)) == 8 + 6
    for layer in found:
        cut = mpd.truncate(data, state=layer.state)
        assert len(cut) == layer.bytes
        assert layer.shown.labels.size == cells
    coarse = mpd.truncate(data, state=5)
    assert decoded("mpd", coarse).shape == (*size, 3)
    damaged = bytearray(data)
    damaged[len(coarse) + 8] ^= 1
    assert mpd.salvage(bytes(damaged)) == (coarse, "state=5")
    limited = mpd.encode(picture(*size), rdo=0, bytes=len(coarse))
    assert len(limited) <= len(coarse)
    assert decoded("mpd", limited).shape == (*size, 3)


@pytest.mark.parametrize(("name", "height", "width"), ORDINARY)
def test_other_pictures_keep_their_version(name: str, height: int, width: int) -> None:
    header = container.image_header(1, b"abcd", height, width, UNITS.get(name, 1))
    assert header.version == container.VERSION
    assert fold(np.broadcast_to(np.uint8(0), (height, width, 3)), UNITS.get(name, 1)).shape == (
        height, width, 3,
    )  # fmt: skip


def counted(monkeypatch: pytest.MonkeyPatch, network: object, method: str) -> list[int]:
    """The cells or pixels of every input of a network's method, from now on."""
    counts: list[int] = []
    plain: Callable[..., object] = getattr(network, method)

    def count(values: torch.Tensor, *others: object, **keys: object) -> object:
        counts.append(values.shape[0] * values.shape[2] * values.shape[3])
        return plain(values, *others, **keys)

    monkeypatch.setattr(network, method, count)
    return counts


@pytest.mark.parametrize(("name", "size"), CASES)
def test_work_follows_the_pixels(
    name: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels and cells that networks and the entropy coder take, in place of seconds."""
    one, pixels = codec(name), size[0] * size[1]
    data = stream(name, size)
    model = one.model
    network = model.autoencoder.network
    encoder, decoder = (
        counted(monkeypatch, network, "encode"),
        counted(monkeypatch, network, "decode"),
    )
    if name == "mpd":
        one.encode(picture(*size), rdo=0)
        one.decode(data)
        (state, *_) = model.states(container.parse(data, unit=8))
        assert 64 * state.labels.size <= 2 * pixels
    else:
        model._kept = None  # the latent of the last image
        one.encode(picture(*size))
        one.decode(data, steps=2)
        y_hat = model.read(one.parse(data)[1]).y_hat
        assert 256 * y_hat.shape[2] * y_hat.shape[3] <= 2 * pixels
    assert 0 < sum(encoder) <= 2 * pixels
    assert 0 < 64 * sum(decoder) <= 2 * pixels


# ----- refusals


def peak_of(action: Callable[[], object]) -> int:
    tracemalloc.start()
    with pytest.raises(UnsupportedVersion, match="encode the original again"):
        action()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize(("name", "size"), CASES)
def test_streams_of_before_are_refused(name: str, size: tuple[int, int]) -> None:
    """A thin picture of version 1 is not decoded as if it were folded, nor at its old cost."""
    parsed = container.parse(stream(name, size), unit=UNITS[name])
    header = dataclasses.replace(parsed.header, version=1)
    data = container.pack(header, parsed.sections)
    one = codec(name)
    with pytest.raises(UnsupportedVersion, match=rf"version 1: .*{size[1]}x{size[0]} are folded"):
        one.decode(data)
    assert peak_of(lambda: one.decode(data)) < 1 << 20
    assert peak_of(lambda: one.describe(data)) < 1 << 20
    if name == "mpd":
        assert peak_of(lambda: one.truncate(data, state=7)) < 1 << 20
        assert peak_of(lambda: one.salvage(data)) < 1 << 20
        assert peak_of(lambda: layers(one.model, data)) < 1 << 20


@pytest.mark.parametrize("name", ["mpd", "diff-icmh"])
@pytest.mark.parametrize("size", [(64, 64), (1, 300), (65, 90_000)])
def test_folded_streams_of_other_sizes_are_refused(name: str, size: tuple[int, int]) -> None:
    one = codec(name)
    header = container.Header(one.codec_id, one.model.digest, size[1], size[0], version=2)
    data = container.pack(header, [b"\1\2\3"])
    with pytest.raises(UnsupportedVersion, match=rf"version 2: .*{size[1]}x{size[0]} needs no"):
        one.decode(data)
    assert peak_of(lambda: one.decode(data)) < 1 << 20


def test_codecs_without_units_refuse_folded_streams() -> None:
    data = RawTest().encode(picture(1, 90_000))
    assert container.read_header(data)[0].version == 1
    parsed = container.parse(data)
    folded = dataclasses.replace(parsed.header, version=2)
    with pytest.raises(UnsupportedVersion, match="needs no folding"):
        RawTest().decode(container.pack(folded, parsed.sections))


def test_a_changed_version_does_not_pass_the_checksum() -> None:
    data = bytearray(stream("mpd", THIN["mpd"][0]))
    data[2] ^= 0b0110_0000
    with pytest.raises(CorruptStream, match="CRC-8"):
        codec("mpd").decode(bytes(data))


# ----- tables and figures


def test_the_map_of_a_folded_picture_lies_on_the_picture() -> None:
    """Strips of one colour: the map has the picture's colours at the picture's places."""
    image = np.zeros((2, 80_000, 3), np.uint8)
    image[:, 40_000:] = 200
    labels = np.arange(latent_shape(2, 80_000)[1], dtype=np.int16)[None] // 1250
    colours = entry_colours(image, labels, 2)
    assert np.array_equal(colours, np.full((2, 3), 100.0))  # both halves hold parts of all strips
    shown, extent = entry_map(labels, np.array([[0.0] * 3, [200.0] * 3]), (2, 80_000))
    assert extent == (0, 80_000, 2, 0)
    assert np.array_equal(shown, unfold(np.where(
        np.arange(20_000)[None, :, None] < 10_000, np.uint8(0), np.uint8(200)
    ).repeat(8, 0).repeat(3, 2), (2, 80_000), 8))  # fmt: skip
    level = Level(7, labels, 2, 30, image)
    assert len(palette_hierarchy(image, [level], title="t", decoder="mean").axes) == 4


def test_framework_of_a_folded_picture() -> None:
    size = (1, 90_000)
    mpd = Mpd(models=tiny_models())
    data = mpd.encode(picture(*size), rdo=0)
    rows = list(framework_rows(mpd.model, picture(*size), mpd.truncate(data, state=6)))
    assert [row["stage"] for row in rows] == ["latent", *["palette", "reverse"] * 2]
    assert all(np.isfinite(row["psnr_rgb"]) for row in rows)


def test_accounting_of_a_folded_picture() -> None:
    """Ours by the picture's pixels, the published one by those of the padded folded picture."""
    one, size = codec("diff-icmh"), (12_000, 3)
    data = stream("diff-icmh", size)
    point = parse_spec("diff-icmh:rate=1,sampler=none")
    shown = decoded("diff-icmh", data)
    model, parsed = one.parse(data)
    larger = uncropped(model, data, parsed, point)
    assert larger.shape == (576, 64, 3)
    rows, columns = coded_size(*size, 64)
    assert np.array_equal(unfold(larger[:rows, :columns], size, 64), shown)
    (row,) = accounting_rows(picture(*size), [Coded(point, data, (), shown, larger)])
    assert (row["width"], row["height"]) == (3, 12_000)
    assert (row["padded_width"], row["padded_height"]) == (64, 576)
    assert row["bpp"] == 8 * len(data) / 36_000
    assert row["bpp_as_published"] == 8 * len(data) / (64 * 576)
