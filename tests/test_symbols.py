"""Integer symbols: exact tables, lossless for any symbols, short, safe when damaged."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from constriction import stream
from hypothesis import example, given
from hypothesis import strategies as st
from official import DIFF_ICMH, needs
from safetensors import safe_open

from icmbench.bitstream import symbols as coding
from icmbench.bitstream.container import crc16
from icmbench.bitstream.symbols import SymbolDecoder, SymbolEncoder, symbol_digest
from icmbench.bitstream.tables import (
    ESCAPE,
    GRID,
    LEAST,
    REACH,
    SCALES,
    TOTAL,
    Tables,
    bottleneck_tables,
    gaussian_pmf,
    gaussian_tables,
    scale_indexes,
)
from icmbench.core.errors import CodecError, CorruptStream, ModelError
from icmbench.models.tensors import load_arrays, save_arrays

FIXTURE = DIFF_ICMH / "lfgcm_tiny.io.safetensors"
GAUSSIAN = gaussian_tables()
GAUSSIAN_SHA256 = "fe684cc258de6fac9c8025ff6abf45bf90c791bc472a7de6434164eaddb2a90f"
# Passes of (symbols, indexes) under GAUSSIAN and their payload: it may never change.
GOLDEN_PASSES = (
    ([0, 1, -1, 0, 3, -7, 100, -1200], [0, 4, 5, 0, 20, 30, 50, 63]),
    ([], []),
    ([2, -REACH, REACH, 5, 0, 0], [0, 1, 63, 2, 10, 10]),
)
GOLDEN = "ff4acc473e9ba94040efe7ffffec3ce43d930ed3d0678bfff7006e"

Pass = tuple[np.ndarray, np.ndarray]


def edge_tables() -> Tables:
    """Tables unlike the Gaussian ones: one symbol only, far from 0, uniform, nearly all escape."""
    pmfs = [[1.0], [0.25] * 4, [1e-12, 1.0, 1e-12], [0.01], [0.5, 0.5], [1.0]]
    minima = [0, -70, -1, 9, REACH - 1, -REACH]
    tails = [0.0, 1e-9, 1e-9, 0.99, 0.1, 0.0]
    return bottleneck_tables([np.array(pmf) for pmf in pmfs], minima, tails)


EDGE = edge_tables()


def write(passes: list[Pass], tables: Tables = GAUSSIAN) -> bytes:
    encoder = SymbolEncoder()
    for symbols, indexes in passes:
        encoder.write(symbols, indexes, tables)
    return encoder.finish()


def read(payload: bytes, indexes: list[np.ndarray], tables: Tables = GAUSSIAN) -> list[np.ndarray]:
    decoder = SymbolDecoder(payload)
    symbols = [decoder.read(each, tables) for each in indexes]
    decoder.check_end()
    return symbols


def information(passes: list[Pass], tables: Tables) -> float:
    """Bits of all passes by the integer tables; escapes by the definition of their code."""
    bits = 0.0
    for symbols, indexes in passes:
        for symbol, index in zip(symbols.ravel().tolist(), indexes.ravel().tolist(), strict=True):
            table = tables.table(index)
            place = symbol - int(tables.offsets[index])
            inside = 0 <= place < len(table) - 1
            bits -= math.log2(int(table[place if inside else -1]) / TOTAL)
            if not inside:
                number = -place if place < 0 else place - len(table) + 2
                bits += 2 * number.bit_length()  # gamma code and sign
    return bits


def draw_passes(seed: int, count: int, size: int, tables: Tables = GAUSSIAN) -> list[Pass]:
    """Symbols as the tables expect them, and now and then one far out."""
    rng = np.random.default_rng(seed)
    passes = []
    for _ in range(count):
        indexes = rng.integers(0, len(tables), size)
        scales = SCALES[indexes] if tables is GAUSSIAN else np.full(size, 30.0)
        symbols = np.rint(rng.normal(0, scales)).astype(np.int32)
        far = rng.random(size) < 0.01
        symbols[far] *= rng.integers(2, 300, int(far.sum()), dtype=np.int32)
        passes.append((symbols, indexes))
    return passes


@st.composite
def messages(draw: st.DrawFn) -> tuple[Tables, list[Pass]]:
    tables = draw(st.sampled_from([GAUSSIAN, EDGE]))
    values = st.one_of(
        st.integers(-3, 3),
        st.integers(-2000, 2000),
        st.integers(-REACH, REACH),
        st.sampled_from([-REACH, REACH, REACH - 1]),
    )
    pairs = st.lists(st.tuples(values, st.integers(0, len(tables) - 1)), max_size=60)
    passes = []
    for pass_ in draw(st.lists(pairs, max_size=5)):
        array = np.array(pass_, np.int64).reshape(-1, 2)
        passes.append((array[:, 0], array[:, 1]))
    return tables, passes


@given(message=messages())
def test_any_symbols_in_any_passes(message: tuple[Tables, list[Pass]]) -> None:
    """They come back, from a payload that ends with no zero, and as short as the tables say."""
    tables, passes = message
    payload = write(passes, tables)
    decoded = read(payload, [indexes for _, indexes in passes], tables)
    for (symbols, _), again in zip(passes, decoded, strict=True):
        assert again.dtype == np.int32
        assert again.tolist() == symbols.tolist()
    assert not payload.endswith(b"\0")
    assert 8 * len(payload) <= 1.003 * information(passes, tables) + 24


ZERO = np.array([0])


@given(message=messages(), byte=st.binary(min_size=1, max_size=3))
@example(message=(GAUSSIAN, [(ZERO + 65, ZERO), (ZERO + 1, ZERO)]), byte=b"\1")
def test_no_shorter_payload_would_do_and_no_longer_one_is_legal(
    message: tuple[Tables, list[Pass]], byte: bytes
) -> None:
    """Of what says the same: a longer payload may be the only one of another message."""
    tables, passes = message
    payload = write(passes, tables)
    indexes = [indexes for _, indexes in passes]
    said = [symbols.tolist() for symbols, _ in passes]
    for length in range(max(0, len(payload) - 9), len(payload)):
        assert symbols_or_none(payload[:length], indexes, tables, strict=False) != said
    for surplus in (byte, byte + b"\0\1"):
        other = symbols_or_none(payload + surplus, indexes, tables)
        assert other != said
        if other is not None:
            symbols = [np.array(each, np.int64) for each in other]
            assert write(list(zip(symbols, indexes, strict=True)), tables) == payload + surplus
    for zeros in (b"\0", bytes(9)):
        assert symbols_or_none(payload + zeros, indexes, tables) is None


def symbols_or_none(
    payload: bytes, indexes: list[np.ndarray], tables: Tables, *, strict: bool = True
) -> list[list[int]] | None:
    """What a payload says; None where it is refused. Any other exception is a failure."""
    try:
        if strict:
            return [symbols.tolist() for symbols in read(payload, indexes, tables)]
        decoder = SymbolDecoder(payload)
        return [decoder.read(each, tables).tolist() for each in indexes]
    except CorruptStream:
        return None


@pytest.mark.parametrize("start", ["80", "0001", "7f", "fe", "00000001", "0000000080"])
def test_a_number_that_stays_at_a_carry(start: str) -> None:
    """The interval closes in on one number from below, over any number of words: the encoder may
    not settle any of them, and the shortest payload is still that number."""
    payload = bytes.fromhex(start)
    rng = np.random.default_rng(len(start))
    for size in (1, 5, 20, 80, 400, 2000):
        indexes = [rng.integers(4, 64, size), rng.integers(4, 64, size // 2)]
        decoder = SymbolDecoder(payload)
        passes = [(decoder.read(each, GAUSSIAN), each) for each in indexes]
        again = write(passes)
        assert len(again) <= len(payload)
        assert size < 80 or again == payload
        for (symbols, _), decoded in zip(passes, read(again, indexes), strict=True):
            assert np.array_equal(symbols, decoded)


def test_nothing_takes_no_byte() -> None:
    none = np.zeros((3, 0, 2), np.int32)
    assert SymbolEncoder().finish() == b""
    assert write([(none, none), (none, none)]) == b""
    (symbols,) = read(b"", [none])
    assert symbols.shape == none.shape
    with pytest.raises(CorruptStream):
        read(b"\1", [none])


def test_shapes_are_kept_and_any_integers_taken() -> None:
    symbols = np.arange(-12, 12, dtype=np.int8).reshape(1, 2, 3, 4)
    indexes = np.full(symbols.shape, 40, np.uint8)
    strided = (symbols.swapaxes(1, 3), indexes.swapaxes(1, 3))
    payload = write([(symbols, indexes), strided])
    first, second = read(payload, [indexes, strided[1]])
    assert np.array_equal(first, symbols)
    assert np.array_equal(second, symbols.swapaxes(1, 3))


def test_what_is_written_may_be_finished_twice() -> None:
    first, second = draw_passes(5, 2, 300)
    encoder = SymbolEncoder()
    encoder.write(*first, GAUSSIAN)
    assert encoder.finish() == write([first])
    encoder.write(*second, GAUSSIAN)
    assert encoder.finish() == write([first, second])


def test_passes_may_use_different_tables() -> None:
    (first,), (second,) = draw_passes(1, 1, 50), draw_passes(2, 1, 50, EDGE)
    encoder = SymbolEncoder()
    encoder.write(*second, EDGE)
    encoder.write(*first, GAUSSIAN)
    decoder = SymbolDecoder(encoder.finish())
    assert np.array_equal(decoder.read(second[1], EDGE), second[0])
    assert np.array_equal(decoder.read(first[1], GAUSSIAN), first[0])
    decoder.check_end()


@pytest.mark.parametrize(("scale", "size"), [(0, 60000), (3, 60000), (12, 20000), (63, 5000)])
def test_long_messages_are_as_short_as_their_information(scale: int, size: int) -> None:
    """Where a symbol costs 1/10,000 bit as well as where it costs 10."""
    rng = np.random.default_rng(scale)
    symbols = np.rint(rng.normal(0, SCALES[scale], size)).astype(np.int32)
    message = [(symbols, np.full(size, scale))]
    assert 8 * len(write(message)) <= 1.003 * information(message, GAUSSIAN) + 24


def test_mixed_messages_are_as_short_as_their_information() -> None:
    for seed in range(4):
        message = draw_passes(seed, 6, 1000)
        assert 8 * len(write(message)) <= 1.003 * information(message, GAUSSIAN) + 24


def test_golden_bytes() -> None:
    passes = [(np.array(s, np.int64), np.array(i, np.int64)) for s, i in GOLDEN_PASSES]
    assert write(passes).hex() == GOLDEN
    decoded = read(bytes.fromhex(GOLDEN), [indexes for _, indexes in passes])
    assert [symbols.tolist() for symbols in decoded] == [list(s) for s, _ in GOLDEN_PASSES]
    assert symbol_digest(*decoded).hex() == "4cfc"


def test_wrong_arguments_are_refused() -> None:
    one = np.zeros(1, np.int32)
    encoder = SymbolEncoder()
    for symbol in (REACH + 1, -REACH - 1, -(2**63)):
        with pytest.raises(CodecError, match=str(symbol)):
            encoder.write(np.array([symbol]), one, GAUSSIAN)
        with pytest.raises(CodecError, match=str(symbol)):
            symbol_digest(np.array([symbol]))
    for index in (-1, 64):
        with pytest.raises(ValueError, match="64 tables"):
            encoder.write(one, np.array([index]), GAUSSIAN)
        with pytest.raises(ValueError, match="64 tables"):
            SymbolDecoder(b"").read(np.array([index]), GAUSSIAN)
    with pytest.raises(ValueError, match="shape"):
        encoder.write(one, np.zeros(2, np.int32), GAUSSIAN)
    with pytest.raises(ValueError, match="float64"):
        encoder.write(np.zeros(1), one, GAUSSIAN)
    with pytest.raises(ValueError, match="float64"):
        encoder.write(one, np.zeros(1), GAUSSIAN)
    assert encoder.finish() == b""


def test_a_changed_byte_is_refused_or_changes_the_symbols() -> None:
    """And then their digest tells, but for one case in 65,536."""
    passes = draw_passes(11, 3, 120)
    indexes = [indexes for _, indexes in passes]
    payload = write(passes)
    said = [symbols.tolist() for symbols, _ in passes]
    digest = symbol_digest(*[symbols for symbols, _ in passes])
    rng = np.random.default_rng(3)
    refused = collisions = 0
    for place in range(len(payload)):
        for change in rng.choice(np.arange(1, 256), 6, replace=False):
            damaged = bytearray(payload)
            damaged[place] ^= int(change)
            again = symbols_or_none(bytes(damaged), indexes, GAUSSIAN)
            refused += again is None
            assert again != said
            if again is not None:
                collisions += symbol_digest(*[np.array(s) for s in again]) == digest
    assert refused > len(payload) / 2
    assert collisions <= 1


def test_a_cut_payload_is_refused_or_changes_the_symbols() -> None:
    passes = draw_passes(12, 3, 100)
    payload = write(passes)
    said = [symbols.tolist() for symbols, _ in passes]
    for length in range(len(payload)):
        assert symbols_or_none(payload[:length], [i for _, i in passes], GAUSSIAN) != said


def test_garbage_is_decoded_or_refused() -> None:
    """Never anything else, and what is decoded stays within bounds."""
    rng = np.random.default_rng(7)
    kinds = 0
    for trial in range(240):
        tables = (GAUSSIAN, EDGE)[trial % 2]
        size = int(rng.integers(0, 400))
        payload = rng.integers(0, 256, size, np.uint8).tobytes()
        if trial % 3 == 0:
            payload = bytes([int(rng.choice([0, 1, 127, 128, 255]))]) * size
        indexes = [rng.integers(0, len(tables), int(rng.integers(0, 300))) for _ in range(3)]
        decoded = symbols_or_none(payload, indexes, tables, strict=False)
        kinds |= 1 if decoded is None else 2
        for symbols in decoded or []:
            assert not symbols or max(abs(s) for s in symbols) <= REACH
    assert kinds == 3


def test_an_escape_beyond_reach_is_refused() -> None:
    """A payload in which a legal gamma code names a symbol that no encoder takes."""
    encoder = SymbolEncoder()
    encoder._coder.encode(
        np.array([len(GAUSSIAN.table(0)) - 1], np.int32), coding._model(GAUSSIAN.table(0))
    )
    encoder._write_escapes(np.array([REACH + 2], np.int32), np.array([3], np.int32))
    with pytest.raises(CorruptStream, match=str(REACH)):
        SymbolDecoder(encoder.finish()).read(np.zeros(1, np.int32), GAUSSIAN)


def test_digest_is_a_crc_of_int32() -> None:
    first, second = np.array([[1, -2]], np.int8), np.array([REACH], np.int64)
    text = np.array([1, -2, REACH], "<i4").tobytes()
    assert symbol_digest(first, second) == crc16(text).to_bytes(2, "big")
    assert symbol_digest() == symbol_digest(np.zeros(0, np.int32)) == b"\xff\xff"


# Tables


def boundary_symbols(tables: Tables, index: int) -> None:
    """The coder gives each symbol exactly the numbers that its frequency says."""
    table = tables.table(index)
    ends = np.cumsum(table.astype(np.int64))
    model = coding._model(table)
    step = (2**64 - 1) >> 24

    def symbol_at(number: int) -> Any:
        point = number * step
        words = np.array([point >> 32, point & 0xFFFFFFFF], np.uint32)
        return stream.queue.RangeDecoder(words).decode(model)

    for symbol, end in enumerate(ends.tolist()):
        assert symbol_at(end - int(table[symbol])) == symbol
        assert symbol_at(end - 1) == symbol


def test_the_coder_uses_the_integers_as_they_are() -> None:
    for index in range(64):
        boundary_symbols(GAUSSIAN, index)
    for index in range(len(EDGE)):
        boundary_symbols(EDGE, index)


def test_gaussian_tables() -> None:
    """Complete, symmetric but for one count, and falling from the middle outwards."""
    assert len(GAUSSIAN) == 64
    assert GAUSSIAN.thresholds.tolist() == [round(s * GRID) for s in SCALES[:-1].tolist()]
    for index in range(64):
        table = GAUSSIAN.table(index).astype(int)
        symbols, width = table[:-1], -int(GAUSSIAN.offsets[index])
        assert table.sum() == TOTAL
        assert table[-1] == ESCAPE
        assert symbols.size == 2 * width + 1
        assert symbols.min() >= LEAST
        assert (np.diff(symbols[: width + 1]) >= 0).all()
        assert (np.diff(symbols[width:]) <= 0).all()
        assert abs(symbols - symbols[::-1]).max() <= 1


def test_gaussian_tables_cost_what_they_should() -> None:
    """0.1 % above the entropy plus 2.5e-5 bit a symbol, escapes at their full price."""
    for index, scale in enumerate(SCALES):
        pmf, share = gaussian_pmf(float(scale)), GAUSSIAN.table(index) / TOTAL
        entropy = -float(pmf @ np.log2(pmf))
        cost = -float(pmf @ np.log2(share[:-1])) + max(0.0, 1 - float(pmf.sum())) * 32
        assert cost <= 1.001 * entropy + 2.5e-5
        assert index < 5 or cost <= 1.001 * entropy


def test_gaussian_tables_do_not_change() -> None:
    """They ship as data; this says when a machine would compute others."""
    digest = hashlib.sha256()
    for array in GAUSSIAN.to_arrays("y").values():
        digest.update(array.astype("<i4").tobytes())
    assert digest.hexdigest() == GAUSSIAN_SHA256


@given(
    weights=st.lists(st.floats(0, 1), min_size=1, max_size=300).filter(lambda w: sum(w) > 1e-6),
    tail=st.one_of(st.just(0.0), st.floats(0, 1)),
    minimum=st.integers(-REACH, REACH - 300),
)
@example(weights=[1e-300, 1.0, 1e-300], tail=0.0, minimum=-1)
def test_bottleneck_tables(weights: list[float], tail: float, minimum: int) -> None:
    """Legal for any probabilities, and a likelier symbol has no lower frequency."""
    pmf = np.array(weights)
    tables = bottleneck_tables([pmf, np.ones(1)], [minimum, 0], [tail, 0.0])
    Tables.from_arrays(tables.to_arrays("z"), "z")
    table = tables.table(0).astype(int)
    assert table.sum() == TOTAL
    assert table.min() >= LEAST
    assert table[-1] >= ESCAPE
    assert (np.diff(table[:-1][np.argsort(pmf, kind="stable")]) >= -1).all()
    rising = np.argsort(pmf)
    strictly = np.diff(pmf[rising]) > 0
    assert (np.diff(table[:-1][rising])[strictly] >= 0).all()
    assert tables.offsets.tolist() == [minimum, 0]
    assert tables.thresholds.size == 0


@pytest.mark.parametrize(
    ("pmf", "tail"),
    [([], 0.1), ([0.0, 0.0], 0.1), ([0.5, -0.1], 0.0), ([math.nan], 0.0), ([1.0], math.inf)],
)
def test_impossible_probabilities_are_refused(pmf: list[float], tail: float) -> None:
    with pytest.raises(ModelError, match="channel 1"):
        bottleneck_tables([np.ones(2), np.array(pmf)], [0, 0], [0.0, tail])


def test_scale_indexes() -> None:
    """A scale at a threshold belongs below it; one step of the grid more is above."""
    thresholds = GAUSSIAN.thresholds
    assert scale_indexes(thresholds / GRID, GAUSSIAN).tolist() == list(range(63))
    assert scale_indexes((thresholds + 1) / GRID, GAUSSIAN).tolist() == list(range(1, 64))
    assert scale_indexes((thresholds + 0.4) / GRID, GAUSSIAN).tolist() == list(range(63))
    assert scale_indexes([[-1e30, -1.0, 0.0, 0.11, 1e30]], GAUSSIAN).tolist() == [[0, 0, 0, 0, 63]]
    for bad in (math.nan, math.inf):
        with pytest.raises(CodecError, match="finite"):
            scale_indexes([1.0, bad], GAUSSIAN)


def test_tables_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "tables.safetensors"
    save_arrays(path, GAUSSIAN.to_arrays("y") | EDGE.to_arrays("z"), {})
    arrays, _ = load_arrays(path)
    for prefix, tables in (("y", GAUSSIAN), ("z", EDGE)):
        again = Tables.from_arrays(arrays, prefix)
        for name, array in tables.to_arrays(prefix).items():
            assert np.array_equal(again.to_arrays(prefix)[name], array)
    passes = draw_passes(4, 2, 100)
    assert write(passes, Tables.from_arrays(arrays, "y")) == write(passes)


def damaged(name: str, change: Any) -> dict[str, np.ndarray]:
    arrays = {key: array.copy() for key, array in GAUSSIAN.to_arrays("y").items()}
    arrays[f"y.{name}"] = change(arrays[f"y.{name}"])
    return arrays


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("frequencies", lambda a: a + (np.arange(a.size) == 7)),
        ("frequencies", lambda a: np.where(np.arange(a.size) == 1, a, 0 * a)),
        ("frequencies", lambda a: a + (np.arange(a.size) == 0) * TOTAL - 2**23),
        ("frequencies", lambda a: a.astype(np.float32)),
        ("frequencies", lambda a: a.reshape(2, -1)),
        ("lengths", lambda a: a[:-1]),
        ("lengths", lambda a: a[:0]),
        ("lengths", lambda a: a * (np.arange(a.size) > 0)),
        ("lengths", lambda a: -a),
        ("lengths", lambda a: a + (np.arange(a.size) == 63) * 2**30),
        ("frequencies", lambda a: a[::-1].copy()),
        ("offsets", lambda a: a[1:]),
        ("offsets", lambda a: a - 2**20),
        ("offsets", lambda a: np.full_like(a, 2**31 - 1)),
        ("thresholds", lambda a: a[::-1].copy()),
        ("thresholds", lambda a: a[1:]),
    ],
)
def test_damaged_tables_are_refused(name: str, change: Any) -> None:
    arrays = damaged(name, change)
    if arrays[f"y.{name}"].dtype.kind == "i":
        arrays[f"y.{name}"] = arrays[f"y.{name}"].astype(np.int32)
    with pytest.raises(ModelError, match="y\\.(" + name + "|lengths)"):
        Tables.from_arrays(arrays, "y")


def test_missing_tables_are_refused() -> None:
    for name in GAUSSIAN.to_arrays("y"):
        arrays = {key: array for key, array in GAUSSIAN.to_arrays("y").items() if key != name}
        with pytest.raises(ModelError, match=name):
            Tables.from_arrays(arrays, "y")


# Against the official codec's numbers


def fixture(*names: str) -> list[np.ndarray]:
    with safe_open(FIXTURE, framework="numpy") as file:
        return [file.get_tensor(name) for name in names]


@needs(FIXTURE)
def test_scales_choose_the_tables_that_compressai_chooses() -> None:
    """In the order of its stream: slices, in each the odd squares before the even ones."""
    scales, expected, offsets, lengths, table = fixture(
        "scales", "compress.y_indexes", "gaussian.offset", "gaussian.cdf_length", "scale_table"
    )
    odd = np.indices(scales.shape[2:]).sum(0) % 2 == 1
    slices = np.split(scales[0], np.cumsum([4, 4, 8]), axis=0)
    ordered = [each[:, squares].ravel() for each in slices for squares in (odd, ~odd)]
    assert np.array_equal(scale_indexes(np.concatenate(ordered), GAUSSIAN), expected)
    assert np.array_equal(GAUSSIAN.offsets, offsets)
    assert np.array_equal(GAUSSIAN.lengths + 1, lengths)  # a CDF has one entry more
    assert np.allclose(SCALES, table, rtol=1e-6)


@needs(FIXTURE)
def test_a_payload_is_no_longer_than_compressais() -> None:
    symbols, indexes, string = fixture(
        "compress.y_symbols", "compress.y_indexes", "compress.y_string"
    )
    payload = write([(symbols, indexes)])
    assert np.array_equal(read(payload, [indexes])[0], symbols)
    halves = [(symbols[i::2], indexes[i::2]) for i in range(2)]
    print(f"y: {len(payload)} bytes, CompressAI {string.size}")
    assert len(payload) <= 1.005 * string.size
    assert len(write(halves)) <= len(payload) + 1
