"""Integer symbols as bytes: range coding with the tables of `entropy.tables`.

A pass is an array of symbols and an array of indices, which select the table of each symbol. The
symbols of a pass are coded table by table, in their order within a table, so that the coder is
called once per table and not once per symbol; the values of escaped symbols follow at the end of
the pass. The decoder knows the indices before it reads a pass, and therefore the order.

An escape is followed by the sign of the symbol and its distance beyond the table, as an Elias-gamma
code of distance + 1. Both are coded by the same range coder; the length of the gamma code (usually
a unary number) is one symbol whose probabilities halve.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
from constriction import stream
from numpy.typing import NDArray

from icmbench.bitstream.container import crc16
from icmbench.bitstream.tables import REACH, TOTAL, Tables
from icmbench.core.errors import CodecError, CorruptStream

DIGEST_BYTES: Final = 2
_WORD: Final = 32  # bits in which the coder writes
_STATE: Final = 64  # bits of its interval

Ints = NDArray[np.int32]
Model = Any  # constriction's Categorical; the library has no types
Coder = Any  # its RangeEncoder


def _model(frequencies: NDArray[Any]) -> Model:
    """The coder's model that has exactly these frequencies.

    Without `perfect`, constriction gives every entry a frequency of 1 and distributes the rest by
    floor(cumulated weight * rest / total weight): with frequency - 1 as weights the factor is 1 and
    nothing is rounded. Tests check every boundary of every table.
    """
    return stream.model.Categorical((frequencies - 1).astype(np.float64), perfect=False)


_CLASSES: Final = REACH.bit_length() + 1  # of the gamma code: excess + 1 is at most 2 * REACH
_CLASS: Final = _model(np.array([TOTAL >> min(n + 1, _CLASSES - 1) for n in range(_CLASSES)]))
_BIT: Final = _model(np.array([TOTAL // 2, TOTAL // 2]))
_MODELS: WeakKeyDictionary[Tables, dict[int, Model]] = WeakKeyDictionary()


class SymbolEncoder:
    """Writes passes of symbols."""

    def __init__(self) -> None:
        self._coder = stream.queue.RangeEncoder()

    def write(self, symbols: NDArray[Any], indexes: NDArray[Any], tables: Tables) -> None:
        """Append a pass.

        Args:
            symbols: integers (...), each with a magnitude of at most REACH.
            indexes: integers, of the same shape: the table of each symbol.

        Raises:
            CodecError: a symbol lies beyond REACH.
            ValueError: the shapes or types are wrong, or an index names no table (a programming
                error).
        """
        if symbols.shape != indexes.shape:
            raise ValueError(f"symbols of shape {symbols.shape}, indexes of {indexes.shape}")
        _check_symbols(symbols)
        chosen = _checked_indexes(indexes, tables)
        places = symbols.reshape(-1).astype(np.int32) - tables.offsets[chosen]
        escapes = tables.lengths[chosen] - 1
        outside = (places < 0) | (places >= escapes)
        coded = np.where(outside, escapes, places).astype(np.int32)
        for index, where in _groups(chosen, len(tables)):
            self._coder.encode(coded[where], _table_model(tables, index))
        if outside.any():
            self._write_escapes(places[outside], escapes[outside])

    def _write_escapes(self, places: Ints, ends: Ints) -> None:
        below = places < 0
        numbers = np.where(below, -places, places - ends + 1)
        classes = (np.frexp(numbers.astype(np.float64))[1] - 1).astype(np.int32)
        self._coder.encode(classes, _CLASS)
        self._coder.encode(below.astype(np.int32), _BIT)
        owner, shift = _digits(classes)
        self._coder.encode((numbers[owner] >> shift & 1).astype(np.int32), _BIT)

    def finish(self) -> bytes:
        """Shortest payload of the written symbols, empty without any; writing may go on."""
        return _shortest(self._coder)


class SymbolDecoder:
    """Reads passes of symbols from a payload; zeros are read behind its end."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        words = np.frombuffer(payload + bytes(-len(payload) % 4), ">u4")
        self._coder = stream.queue.RangeDecoder(words.astype(np.uint32))
        self._mirror = stream.queue.RangeEncoder()  # writes again what is read, for `check_end`

    def read(self, indexes: NDArray[Any], tables: Tables) -> Ints:
        """The symbols of the next pass, int32 of the shape of `indexes`.

        Raises CorruptStream where the payload says what no encoder writes. Memory and time are
        bounded by the number of indexes.
        """
        chosen = _checked_indexes(indexes, tables)
        symbols = np.empty(chosen.size, np.int32)
        escapes = tables.lengths[chosen] - 1
        for index, where in _groups(chosen, len(tables)):
            symbols[where] = self._take(_table_model(tables, index), where.size)
        outside = np.flatnonzero(symbols == escapes)
        if outside.size:
            symbols[outside] = self._read_escapes(escapes[outside])
        symbols += tables.offsets[chosen]
        if symbols.size and max(symbols.max(), -symbols.min()) > REACH:
            raise CorruptStream(f"the stream names a symbol beyond {REACH}")
        return symbols.reshape(indexes.shape)

    def _read_escapes(self, ends: Ints) -> Ints:
        classes = self._take(_CLASS, ends.size)
        below = self._take(_BIT, ends.size)
        owner, shift = _digits(classes)
        numbers = np.left_shift(np.int32(1), classes)
        np.add.at(numbers, owner, self._take(_BIT, owner.size) << shift)
        return np.where(below == 1, -numbers, numbers + ends - 1)

    def _take(self, model: Model, count: int) -> Ints:
        try:
            symbols: Ints = self._coder.decode(model, count)
        except AssertionError as error:  # constriction's: the number lies in no symbol's interval
            raise CorruptStream("the payload is not one of a range coder") from error
        self._mirror.encode(symbols, model)
        return symbols

    def check_end(self) -> None:
        """Raise CorruptStream unless the payload is the one that an encoder writes for what was
        read: one message, one payload, without surplus bytes."""
        if _shortest(self._mirror) != self._payload:
            raise CorruptStream("the payload is not what an encoder writes for its symbols")


def symbol_digest(*arrays: NDArray[Any]) -> bytes:
    """CRC-16 of all symbols in order (as int32, little-endian), 2 bytes, big-endian.

    Raises CodecError where a symbol lies beyond REACH.
    """
    check = crc16(b"")
    for array in arrays:
        _check_symbols(array)
        check = crc16(array.astype("<i4").tobytes(), check)
    return check.to_bytes(DIGEST_BYTES, "big")


def _check_symbols(symbols: NDArray[Any]) -> None:
    if symbols.dtype.kind not in "iu":
        raise ValueError(f"symbols are {symbols.dtype}, not integers")
    for value in (symbols.min(), symbols.max()) if symbols.size else ():
        if abs(int(value)) > REACH:
            raise CodecError(f"symbol {value} lies beyond {REACH}")


def _checked_indexes(indexes: NDArray[Any], tables: Tables) -> NDArray[Any]:
    if indexes.dtype.kind not in "iu":
        raise ValueError(f"indexes are {indexes.dtype}, not integers")
    if indexes.size and (indexes.min() < 0 or indexes.max() >= len(tables)):
        text = f"indexes {indexes.min()} to {indexes.max()}"
        raise ValueError(f"{text}, there are {len(tables)} tables")
    return indexes.reshape(-1)


def _groups(chosen: NDArray[Any], tables: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Every table that is used, ascending, and the places where it is."""
    if tables <= 1 << 16:
        chosen = chosen.astype(np.uint16)  # numpy sorts these in linear time
    order = np.argsort(chosen, kind="stable")
    counts = np.bincount(chosen, minlength=tables)
    ends = np.cumsum(counts)
    for index in np.flatnonzero(counts):
        yield int(index), order[ends[index] - counts[index] : ends[index]]


def _table_model(tables: Tables, index: int) -> Model:
    models = _MODELS.setdefault(tables, {})
    if index not in models:
        models[index] = _model(tables.table(index))
    return models[index]


def _digits(classes: Ints) -> tuple[NDArray[np.intp], Ints]:
    """For every binary digit below the leading one: whose it is and its place, highest first."""
    owner = np.repeat(np.arange(classes.size), classes)
    nth = np.arange(owner.size) - (np.cumsum(classes) - classes)[owner]
    return owner, (classes[owner] - 1 - nth).astype(np.int32)


def _shortest(coder: Coder) -> bytes:
    """The fewest bytes that, with zeros behind them, name a number in the coder's interval.

    All of it is arithmetic on the whole payload as one number of `size` bytes. The interval's low
    end is known modulo 2^64 only; the library's own ending, which lies inside, says the rest.
    """
    position, (low, width) = coder.pos()
    words = coder.get_compressed()
    size = (position * _WORD + _STATE) // 8
    ending = words.astype(">u4").tobytes().ljust(size, b"\0")
    number = int.from_bytes(ending, "big")
    start = number - (number - low) % (1 << _STATE)
    shortest, enough = 0, size
    while shortest < enough:  # more bytes never do worse, so halve
        length = (shortest + enough) // 2
        if _rounded_up(start, size - length) < start + width:
            enough = length
        else:
            shortest = length + 1
    return _rounded_up(start, size - enough).to_bytes(size, "big")[:enough]


def _rounded_up(number: int, zeros: int) -> int:
    """The least number from `number` up whose last bytes are zeros."""
    return -(-number >> 8 * zeros) << 8 * zeros
