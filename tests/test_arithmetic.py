"""The binary arithmetic coder: exact tables, lossless for any bits and chances, short, safe."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from latents import noise

from icmbench.bitstream import arithmetic as ac

NONE = np.empty(0, np.int64)
TABLES = "c363e85cbcc75d8e2ad391885089c44fea6aa018a579711932603b215ae0203a"
GOLDEN = (224, "17a6de082dcfd048d0a01358dbf97207af98d6d6cbe37586ff9ea58dd8600c5d")

chances = st.one_of(st.sampled_from([1, 12, 32768, 65524, 65535]), st.integers(1, 65535))
messages = st.lists(st.tuples(st.integers(0, 1), chances), max_size=400)


def write(message: Sequence[tuple[int, int]]) -> bytes:
    buffer = np.full(3 * len(message) + 16, 0xAA, np.uint8)
    state = ac.encoder()
    for bit, chance in message:
        ac.code(False, bit, chance, state, buffer)
    return buffer[: ac.finish(state, buffer)].tobytes()


def read(data: bytes, chances: Sequence[int]) -> list[int]:
    buffer = np.frombuffer(data, np.uint8).copy()
    state = ac.decoder(buffer)
    return [ac.code(True, 0, chance, state, buffer) for chance in chances]


def information(message: Sequence[tuple[int, int]]) -> float:
    return sum(-math.log2((c if bit else 65536 - c) / 65536) for bit, c in message)


def test_tables_do_not_depend_on_the_last_digit() -> None:
    """No entry lies so near to a rounding boundary that another libm could round it otherwise."""
    for logit in range(-ac.LOGIT_MAX, ac.LOGIT_MAX + 1):
        value = 65536 / (1 + math.exp(-logit / ac.LOGIT_ONE))
        assert abs(value % 1 - 0.5) > 1e-6
        assert ac.SQUASH[logit + ac.LOGIT_MAX] == min(max(round(value), 12), 65536 - 12)
    for step in range(4096):
        value = ac.LOGIT_ONE * math.log((step + 0.5) / (4095.5 - step))
        assert abs(value % 1 - 0.5) > 1e-6
        assert ac.STRETCH[step] == round(value)
    text = ac.SQUASH.astype("<i4").tobytes() + ac.STRETCH.astype("<i4").tobytes()
    assert hashlib.sha256(text).hexdigest() == TABLES


def test_tables_are_symmetric_and_rise() -> None:
    assert (ac.SQUASH + ac.SQUASH[::-1] == 65536).all()
    assert (ac.STRETCH + ac.STRETCH[::-1] == 0).all()
    assert (np.diff(ac.SQUASH) >= 0).all()
    assert (np.diff(ac.STRETCH) >= 0).all()
    assert ac.SQUASH.min() > 0
    assert abs(ac.STRETCH).max() <= ac.LOGIT_MAX


@given(message=messages)
def test_any_bits_under_any_chances(message: list[tuple[int, int]]) -> None:
    """Back they come from the trimmed bytes; and no shorter prefix of those would have done."""
    data = write(message)
    said = [bit for bit, _ in message]
    asked = [chance for _, chance in message]
    assert read(data, asked) == said
    assert not data.endswith(b"\0")
    assert all(read(data[:size], asked) != said for size in range(len(data)))


def test_a_long_message_is_as_short_as_its_information() -> None:
    """At most 2 bytes above it, for likely and for unlikely messages alike."""
    for seed in range(24):
        width = (65536, 4096, 64)[seed % 3]
        asked = np.clip(noise((3000,), seed) % width + (seed % 2) * (65536 - width), 1, 65535)
        draws = noise((3000,), seed + 100) + 32768
        bits = (draws < asked) if seed % 4 < 2 else (draws % 2)
        message = list(zip(map(int, bits), map(int, asked), strict=True))
        assert len(write(message)) <= information(message) / 8 + 2


def test_the_narrowest_interval() -> None:
    """A 0 and forty 1s at one half leave an interval astride a byte boundary, below 2^16 wide."""
    pattern = [(0, 32768)] + [(1, 32768)] * 40
    for tail in ([], [(0, 32768)] * 70, [(1, 65535), (0, 1)] * 40, pattern * 5):
        message = pattern + tail
        assert read(write(message), [c for _, c in message]) == [bit for bit, _ in message]


def test_impossible_seeming_bits() -> None:
    """The least likely bit a thousand times over."""
    message = [(1, 1), (0, 65535)] * 500
    data = write(message)
    assert read(data, [chance for _, chance in message]) == [bit for bit, _ in message]
    assert len(data) <= information(message) / 8 + 2


def mixed(
    decoding: bool, bits: Sequence[int], seed: int, buffer: np.ndarray, model: ac.Model
) -> tuple[list[int], int, np.ndarray]:
    """Code bits under four contexts and two direct inputs that a counter draws."""
    count = len(bits)
    slots = noise((count, 4), seed) % model.slots.size
    direct = noise((count, 2), seed + 1) % 1025 - 512
    mixers = noise((count,), seed + 2) % model.turns.size
    state = ac.decoder(buffer) if decoding else ac.encoder()
    spent = np.zeros(2)
    out = [
        ac.code_mixed(
            decoding, bit, state, buffer, model, mixers[i], slots[i], direct[i], spent, i % 2
        )
        for i, bit in enumerate(bits)
    ]
    return out, 0 if decoding else int(ac.finish(state, buffer)), spent


@given(
    bits=st.lists(st.integers(0, 1), max_size=300),
    seed=st.integers(0, 999),
    slots=st.integers(1, 60),
    repeat=st.integers(1, 20),
)
def test_mixing(bits: list[int], seed: int, slots: int, repeat: int) -> None:
    """Encoder and decoder learn the same; what is written is as long as is reported."""
    bits = (bits * repeat)[:2000]
    start = ac.new_model(slots, 3, 6)
    written, read_back = start.copy(), start.copy()
    buffer = np.zeros(2 * len(bits) + 16, np.uint8)
    _, length, spent = mixed(False, bits, seed, buffer, written)
    said, _, again = mixed(True, [0] * len(bits), seed, buffer[:length].copy(), read_back)
    assert said == bits
    assert spent.tolist() == again.tolist()
    assert length <= spent.sum() / 8 + 2
    for one, other in zip(written, read_back, strict=True):
        assert (one == other).all()
    assert written.slots.min(initial=1) >= 0
    assert written.slots.max(initial=1) < 1 << 22
    assert (start.slots == 1 << 21).all()
    assert abs(written.weights).max() <= 1 << 19


def test_mixing_learns() -> None:
    """A rule that one of four contexts knows is found among noise: far below one bit a bit."""
    count = 4000
    hints = noise((count,), 5) % 2
    model = ac.new_model(300, 1, 5)
    buffer, spent, state = np.zeros(count, np.uint8), np.zeros(1), ac.encoder()
    for i in range(count):
        slots = np.array([hints[i], *(2 + noise((3,), i) % 298)])
        bit = int(hints[i])
        ac.code_mixed(False, bit, state, buffer, model, 0, slots, NONE, spent, 0)
    assert spent[0] < 0.04 * count


def test_golden_stream() -> None:
    """Exact bytes: any change of tables, rates or arithmetic is a change of the format."""
    bits = [
        int(value) for value in (noise((3000,), 1) + 32768 < 9000) | (noise((3000,), 2) > 32000)
    ]
    buffer = np.zeros(4000, np.uint8)
    _, length, _ = mixed(False, bits, 7, buffer, ac.new_model(40, 2, 6))
    data = buffer[:length].tobytes()
    assert write([(1, 9000), (0, 300), (0, 65535), (1, 40000), (1, 12)]).hex() == "2327dd02"
    assert (length, hashlib.sha256(data).hexdigest()) == GOLDEN


@given(data=st.binary(max_size=40), seed=st.integers(0, 99))
def test_a_decoder_reads_garbage_and_nothing_behind_it(data: bytes, seed: int) -> None:
    """Any bytes decode, the empty ones too; what lies behind the buffer in memory is not read."""
    results = []
    for behind in (0, 255):
        room = np.full(len(data) + 64, behind, np.uint8)
        room[: len(data)] = list(data)
        view = room[: len(data)]
        model = ac.new_model(9, 2, 6)
        results.append(mixed(True, [0] * 400, seed, view, model)[0])
    assert results[0] == results[1]
    assert set(results[0]) <= {0, 1}


@pytest.mark.parametrize("size", [0, 1, 6, 7, 8])
def test_zeros_are_read_behind_the_end(size: int) -> None:
    """A trimmed buffer and the same with zeros behind it say the same."""
    data = bytes(range(1, size + 1))
    asked = [int(value) for value in noise((300,), size) % 65535 + 1]
    assert read(data, asked) == read(data + bytes(60), asked)
