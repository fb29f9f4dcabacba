"""Damaged MPD streams: a typed error or the last whole state, never a crash or a wrong size."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tracemalloc
from collections import Counter

import numba
import numpy as np
import pytest
from conftest import ROOT, make_picture
from garbage import check_states, garbage_payloads, shared_palette, try_garbage
from latents import noise
from tiny_model import tiny_models

from icmbench.bitstream import arithmetic, container
from icmbench.codecs.mpd.codec import MAX_PIXELS, Mpd
from icmbench.codecs.mpd.palette.hierarchy import build_hierarchy
from icmbench.codecs.mpd.palette.plan import make_plan
from icmbench.codecs.mpd.stream import contexts as ctx
from icmbench.codecs.mpd.stream import section as sec
from icmbench.codecs.mpd.stream.coder import SHARED_CHANCE, State, walk_sections
from icmbench.core.errors import CodecError, CorruptStream, IcmbenchError, TruncatedStream
from icmbench.models.latent import CELL, latent_shape

SIZES = ((128, 144), (61, 43), (7, 5))  # the second has odd sides, the third is one cell
TRIALS = 20_000


@functools.cache
def codec() -> Mpd:
    return Mpd(models=tiny_models())


@functools.cache
def stream(size: tuple[int, int]) -> bytes:
    return codec().encode(make_picture(*size), rdo=0.25)


@functools.cache
def parsed(size: tuple[int, int]) -> container.Stream:
    return container.parse(stream(size))


def states(data: bytes) -> list[State]:
    """Everything but the networks; strict."""
    return codec().model.states(codec()._parse(data))


def test_streams_are_worth_damaging() -> None:
    assert [len(parsed(size).sections) for size in SIZES] == [
        14,
        11,
        7,
    ]  # of the palette and six refinements
    assert len(stream(SIZES[0])) > 150


@pytest.mark.parametrize("size", SIZES)
def test_every_truncation(size: tuple[int, int]) -> None:
    """Legal where a section ends; elsewhere TruncatedStream, and best effort finds the last end."""
    data, ends = stream(size), parsed(size).ends
    full = states(data)
    for length in range(len(data)):
        cut = data[:length]
        if length in ends:
            kept = states(cut)
            assert [s.state for s in kept] == [s.state for s in full[: len(kept)]]
            for one, other in zip(kept, full[: len(kept)], strict=True):
                assert one.labels.tolist() == other.labels.tolist()
                assert one.palette.tolist() == other.palette.tolist()
        else:
            with pytest.raises(TruncatedStream):
                codec()._parse(cut)
        whole = sum(end <= length for end in ends)
        if whole:
            kept, name = codec().salvage(cut)
            assert kept == data[: ends[whole - 1]]
            assert name == f"state={full[whole - 1].state}"
        else:
            with pytest.raises(TruncatedStream):
                codec().salvage(cut)


def test_every_whole_prefix_is_a_picture() -> None:
    """Of the right size, with every decoder; finer states give other pictures.

    A refinement may leave a latent of few cells as it is.
    """
    for size in SIZES:
        pictures = []
        for end in parsed(size).ends:
            for decoder in ("mean", "regression"):
                picture = codec().decode(stream(size)[:end], decoder=decoder)
                assert picture.shape == (*size, 3)
                assert picture.dtype == np.uint8
            pictures.append(picture.tobytes())
        palette, refined = pictures[:-6], pictures[-6:]
        assert len(set(palette)) >= len(palette) - 1
        assert size == SIZES[2] or len({palette[-1], *refined}) >= 6
    assert codec().decode(stream(SIZES[1])[: parsed(SIZES[1]).ends[1]], decoder="diffusion").any()


def damage(data: bytes, trial: int) -> tuple[bytes, int]:
    """The stream with one bit inverted or two unequal bytes exchanged, and the first such place."""
    draw = noise((40,), trial) + 32768
    altered = bytearray(data)
    first = int(draw[0]) % len(data)
    if trial % 2:
        altered[first] ^= 1 << int(draw[1]) % 8
        return bytes(altered), first
    others = (int(value) % len(data) for value in draw[1:])
    other = next(at for at in others if data[at] != data[first])
    altered[first], altered[other] = data[other], data[first]
    return bytes(altered), min(first, other)


def test_bit_flips_and_byte_swaps() -> None:
    """20,000 of them: refused with a typed error, and best effort keeps what lies before.

    A CRC-16 misses one exchange in 65,536: such a stream may decode, but to the right size.
    """
    missed = 0
    pictures: list[tuple[tuple[int, int], bytes]] = []
    for trial in range(TRIALS):
        size = SIZES[trial % len(SIZES)]
        ends, start = parsed(size).ends, parsed(size).header_bytes
        bad, first = damage(stream(size), trial)
        try:
            found = states(bad)
        except IcmbenchError:
            pass
        else:
            missed += 1
            check_states(found, latent_shape(*size), 4)
            assert container.read_header(bad)[0] == parsed(size).header
        whole = sum(end <= first for end in ends)
        try:
            kept, name = codec().salvage(bad)
        except CodecError:
            assert whole == 0
            continue
        assert first >= start
        if kept != stream(size)[: ends[whole - 1]]:
            missed += 1
            assert kept.startswith(stream(size)[: ends[whole - 1]] if whole else b"")
        elif trial % 300 < 3:
            pictures.append((size, kept))
            assert name.startswith("state=")
    assert missed <= 3
    for size, kept in pictures[:: max(1, len(pictures) // 50)][:50]:
        assert codec().decode(kept, decoder="mean").shape == (*size, 3)


@pytest.mark.parametrize("trained", [False, True])
def test_garbage_with_valid_checksums(trained: bool) -> None:
    """CorruptStream or legal states: labels in range, no more entries than allowed, bounded means.

    Both are met often enough to mean something.
    """
    shared = shared_palette()
    model = codec().model.contexts if trained else ctx.fresh_model()
    outcomes = Counter(
        try_garbage(trial, model, shared if trial % 2 else None) for trial in range(420)
    )
    assert outcomes["refused"] > 25
    assert outcomes["decoded"] > 30  # short payloads may by chance be what an encoder writes


def test_garbage_through_the_codec() -> None:
    """The same, packed as files: nothing but typed errors comes out."""
    outcomes: Counter[str] = Counter()
    for trial in range(126):
        (height, width), payloads = garbage_payloads(trial)
        header = container.Header(1, codec().model.digest, 8 * width - trial % 8, 8 * height)
        data = container.pack(header, payloads)
        try:
            check_states(states(data), (height, width), 4)
        except CorruptStream:
            outcomes["refused"] += 1
            continue
        outcomes["decoded"] += 1
        if trial < 40:
            assert codec().decode(data).shape == (8 * height, header.width, 3)
    assert min(outcomes.values()) > 5


@pytest.mark.slow
def test_no_index_out_of_bounds(request: pytest.FixtureRequest) -> None:
    """Compiled code checks no index: the same streams once more where it does."""
    assert request.config.cache is not None
    folder = request.config.cache.mkdir(f"numba-boundscheck-{numba.__version__}")
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "garbage.py", "504"],
        env={**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes = json.loads(done.stdout)
    assert outcomes["refused"] > 20
    assert outcomes["decoded"] > 80


def peak_of(data: bytes) -> tuple[int, str]:
    """Bytes allocated at most by parsing and decoding all states, and how that ended."""
    tracemalloc.start()
    try:
        states(data)
        end = "decoded"
    except CodecError as error:
        end = type(error).__name__
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, end


FIXED = 16 << 20  # the entropy coder's tables and their copy, whatever the image


@pytest.mark.parametrize(("width", "height"), [(2_000_000, 80), (80, 2_000_000), (13_000, 13_000)])
def test_a_header_alone_allocates_nothing(width: int, height: int) -> None:
    header = container.Header(1, codec().model.digest, width, height)
    peak, end = peak_of(container.pack(header, []))
    assert end == "TruncatedStream"
    assert peak < 1 << 20
    peak, end = peak_of(container.pack(header, [b""]))
    assert end == "CorruptStream"
    assert peak < FIXED
    damaged = bytearray(container.pack(header, [b"abcdef"]))
    damaged[-1] ^= 1
    assert peak_of(bytes(damaged))[1] == "CorruptStream"
    assert peak_of(bytes(damaged))[0] < 1 << 20


def test_more_pixels_than_the_limit() -> None:
    for width, height in ((container.MAX_SIDE, container.MAX_SIDE), (MAX_PIXELS // 100 + 1, 100)):
        header = container.Header(1, codec().model.digest, width, height)
        peak, end = peak_of(container.pack(header, [b"\x55\x60\x70\x80\x90"]))
        assert end == "CorruptStream"
        assert peak < 1 << 20


@pytest.mark.parametrize("size", [(9000, 8000), (1, 2_000_000), (96, 80)])
def test_memory_of_a_valid_stream(size: tuple[int, int]) -> None:
    """A header with a large image and one tiny legal section: less than the image itself takes."""
    header = container.image_header(1, codec().model.digest, *size, CELL)
    peak, end = peak_of(container.pack(header, [b"\x55\x60\x70\x80\x90"]))
    assert end in ("decoded", "CorruptStream")
    assert peak <= 3 * (3 * size[0] * size[1]) + FIXED


def test_garbage_sections_of_a_large_image() -> None:
    """Seven sections of noise for 9 megapixels: still bounded by the image's size."""
    header = container.Header(1, codec().model.digest, 3000, 3000)
    for seed in range(3):
        sections = [
            (noise((40,), 50 * seed + index) & 255).astype(np.uint8).tobytes() for index in range(8)
        ]
        peak, end = peak_of(container.pack(header, sections))
        assert end in ("decoded", "CorruptStream")
        assert peak <= 3 * (3 * 3000 * 3000) + FIXED


@pytest.mark.parametrize(("value", "legal"), [(60_000, True), (90_000, False), (250_000, False)])
def test_means_beyond_any_latent(value: int, legal: bool) -> None:
    """Four cells at +value, four at -value, written by our own coder without its checks."""
    latent = np.array([[[value], [-value]], [[value], [-value]]] * 2)
    hierarchy = build_hierarchy(np.array([[1], [-1]] * 4, np.int16) * 8, 2)
    plan = make_plan(hierarchy, hierarchy.labels.reshape(4, 2), latent, np.zeros(1, np.int64))
    nodes, owner, bits = sec.new_nodes(1, 8), np.zeros((4, 2), np.int16), np.zeros(3)
    buffer, registers, model = np.zeros(99, np.uint8), arithmetic.encoder(), ctx.fresh_model()
    arithmetic.code(False, 0, SHARED_CHANCE, registers, buffer)
    sec.code_root(False, registers, buffer, nodes, plan)
    sec.code_section(False, 7, 1, 0, registers, buffer, model, nodes, owner, plan, bits)
    payloads = [buffer[: arithmetic.finish(registers, buffer)].tobytes()]
    buffer, registers = np.zeros(99, np.uint8), arithmetic.encoder()
    sec.code_section(False, 0, 2, 7, registers, buffer, model, nodes, owner, plan, bits)
    payloads.append(buffer[: arithmetic.finish(registers, buffer)].tobytes())
    if legal:
        found = list(walk_sections(payloads, (4, 2), 1, ctx.fresh_model(), None))
        check_states(found, (4, 2), 1)
        assert len(found[-1].palette) == 2
    else:
        with pytest.raises(CorruptStream, match="means"):
            list(walk_sections(payloads, (4, 2), 1, ctx.fresh_model(), None))
