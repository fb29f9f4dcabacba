"""Integer frequency tables: the probabilities of symbols in entropy coding.

A table gives the symbols from its offset upwards an integer frequency each, and one more to the
*escape*, which stands for every other symbol. The frequencies of a table sum to 2^24, the
precision in which the range coder works, so they say exactly what it does; probabilities of 16
bits would be too coarse for the thousands of symbols of the widest tables. Tables are data that
ship with a model: they are computed once, in floating point, and read from its file ever after.

What the integers cost: at most 0.1 % above the entropy of the discretised Gaussian, plus 2.5e-5
bit a symbol, which shows only where a symbol costs next to nothing (one byte for an image of
512x512 pixels). That constant is the price of escapes of 16 bits; they would take 24 otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from icmbench.core.errors import CodecError, ModelError

PRECISION: Final = 24  # bits of a probability in constriction's coder
TOTAL: Final = 1 << PRECISION
ESCAPE: Final = 1 << 8  # least frequency of the escape: it costs at most 16 bits
LEAST: Final = 1 << 3  # of any symbol in a table: it costs at most 21 bits
REACH: Final = 1 << 20  # the largest magnitude of a symbol
GRID: Final = 1 << 20  # a scale is a multiple of 1 / GRID
SCALES: Final = np.exp(np.linspace(math.log(0.11), math.log(256), 64))
TAIL: Final = 1e-9  # mass of a Gaussian outside its table

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tables:
    """The tables that a symbol's index chooses from.

    Attributes:
        frequencies: int32 (sum of lengths,), table after table; the last of each is its escape.
        lengths: int32 (n,), how many frequencies a table has, the escape among them.
        offsets: int32 (n,), the symbol of a table's first frequency.
        thresholds: int32 (n - 1,), scales in 1 / GRID: a table is for the scales above the one
            before it; or (0,) where tables are not chosen by a scale.
    """

    frequencies: Ints
    lengths: Ints
    offsets: Ints
    thresholds: Ints

    def __len__(self) -> int:
        return self.lengths.size

    def table(self, index: int) -> Ints:
        """Frequencies of one table, its escape last."""
        end = int(self.lengths[: index + 1].sum())
        return self.frequencies[end - int(self.lengths[index]) : end]

    def to_arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Return the arrays for `save_arrays`, each name beginning with `prefix.`."""
        return {f"{prefix}.{field.name}": getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str) -> Tables:
        """Read the tables among the arrays of a file; other names are ignored.

        Raises ModelError naming the array that is missing, of another type or impossible.
        """
        values = []
        for field in fields(cls):
            name = f"{prefix}.{field.name}"
            if name not in arrays:
                raise ModelError(f"tables: array {name!r} is missing")
            if arrays[name].dtype != np.int32 or arrays[name].ndim != 1:
                raise ModelError(f"tables: array {name!r} is not a row of int32")
            values.append(arrays[name])
        tables = cls(*values)
        fault = _fault(tables)
        if fault:
            raise ModelError(f"tables: array {f'{prefix}.{fault[0]}'!r} {fault[1]}")
        return tables


def _fault(tables: Tables) -> tuple[str, str] | None:
    """Name of the first wrong array, and its problem."""
    lengths = tables.lengths.astype(np.int64)
    frequencies = tables.frequencies.astype(np.int64)
    offsets = tables.offsets.astype(np.int64)
    thresholds = tables.thresholds.astype(np.int64)
    if lengths.size == 0 or lengths.min() < 2:
        return "lengths", "names no table, or one without a symbol"
    if lengths.sum() != frequencies.size:
        return "lengths", f"sums to {lengths.sum()} for {frequencies.size} frequencies"
    if frequencies.min() < 1:
        return "frequencies", "holds a frequency below 1"
    sums = np.add.reduceat(frequencies, np.cumsum(lengths) - lengths)
    if (sums != TOTAL).any():
        wrong = int(np.flatnonzero(sums != TOTAL)[0])
        return "frequencies", f"sums to {sums[wrong]} in table {wrong}, not to {TOTAL}"
    if offsets.size != lengths.size:
        return "offsets", f"has {offsets.size} entries for {lengths.size} tables"
    if offsets.min() < -REACH or (offsets + lengths - 2).max() > REACH:
        return "offsets", f"names a symbol beyond {REACH}"
    if thresholds.size not in (0, lengths.size - 1):
        return "thresholds", f"has {thresholds.size} entries for {lengths.size} tables"
    if (np.diff(thresholds) <= 0).any():
        return "thresholds", "does not rise"
    return None


def scale_indexes(scales: ArrayLike, tables: Tables) -> Ints:
    """Index of the table for each scale, int32 (...): how many thresholds lie strictly below it.

    Scales come rounded to multiples of 1 / GRID (others are rounded here), so that no index hangs
    on the last bits of a float. What rounding cannot decide is a scale that lay half-way between
    the two multiples at a threshold; the digest of the symbols shows it. A scale below the lowest
    threshold, or negative, has the index 0.

    Args:
        scales: standard deviations, float64 (...).
        tables: of `gaussian_tables`; their thresholds decide, not this machine's logarithm.

    Raises CodecError where a scale is not finite.
    """
    values = np.asarray(scales, np.float64)
    if not np.isfinite(values).all():
        raise CodecError("a scale is not a finite number")
    indexes = np.searchsorted(tables.thresholds, np.rint(values * GRID), side="left")
    return indexes.astype(np.int32)


def gaussian_pmf(scale: float) -> Floats:
    """P(round(x) = k) for a Gaussian of mean 0, float64 (2 w + 1,), k from -w to w.

    The mass outside is at most TAIL: w = ceil(-scale * Phi^-1(TAIL / 2)).
    """
    width = math.ceil(-scale * float(ndtri(TAIL / 2)))
    distance = np.abs(np.arange(-width, width + 1))
    # Both ends on the lower side, where ndtr keeps its relative precision.
    pmf: Floats = ndtr((0.5 - distance) / scale) - ndtr((-0.5 - distance) / scale)
    return pmf


def gaussian_tables(nearest: bool = False) -> Tables:
    """The tables of SCALES, with the thresholds between them.

    Args:
        nearest: a scale takes the table of the nearest scale (on the logarithmic grid), which costs
            0.1 % of the bits; else that of the next larger one, as CompressAI does, which costs or
            saves up to 4 % where the model's scales are systematically too large or too small.
    """
    pmfs = [gaussian_pmf(scale) for scale in SCALES]
    minima = [-(pmf.size // 2) for pmf in pmfs]
    tails = [max(0.0, 1 - float(pmf.sum())) for pmf in pmfs]
    ends = np.sqrt(SCALES[:-1] * SCALES[1:]) if nearest else SCALES[:-1]
    return _tables(pmfs, minima, tails, np.rint(ends * GRID).astype(np.int32))


def bottleneck_tables(
    pmfs: Sequence[Floats], minima: Sequence[int], tails: Sequence[float]
) -> Tables:
    """The tables of a factorised prior, one per channel.

    Args:
        pmfs: per channel, probabilities of consecutive symbols, float64 (length,).
        minima: per channel, the symbol of the first probability.
        tails: per channel, the mass of all other symbols.

    Raises ModelError naming the channel whose probabilities are impossible.
    """
    for channel, (pmf, tail) in enumerate(zip(pmfs, tails, strict=True)):
        values = np.append(pmf, tail)
        if not (np.isfinite(values).all() and values.min() >= 0 and np.sum(pmf) > 0):
            raise ModelError(f"channel {channel} of the factorised prior has no probabilities")
        if LEAST * values.size > TOTAL // 2:
            raise ModelError(f"channel {channel} of the factorised prior has {len(pmf)} symbols")
    return _tables(pmfs, minima, tails, np.empty(0, np.int32))


def _tables(
    pmfs: Sequence[Floats], minima: Sequence[int], tails: Sequence[float], thresholds: Ints
) -> Tables:
    frequencies = [quantised(pmf, tail) for pmf, tail in zip(pmfs, tails, strict=True)]
    lengths = np.array([len(table) for table in frequencies], np.int32)
    return Tables(np.concatenate(frequencies), lengths, np.array(minima, np.int32), thresholds)


def quantised(pmf: Floats, tail: float) -> Ints:
    """Frequencies that sum to TOTAL, int32 (length + 1,), the escape last.

    Every symbol has LEAST, the escape at least ESCAPE; the rest goes by probability, and what is
    then left over to the largest remainders, so that a likelier symbol never has a lower frequency.
    """
    mass = float(pmf.sum())
    # An escape of all but everything leaves the symbols half: the tables stay legal.
    escape = min(max(ESCAPE, round(TOTAL * tail / (mass + tail))), TOTAL // 4)
    budget = TOTAL - escape - LEAST * pmf.size
    exact = pmf / mass * budget
    counts = np.floor(exact).astype(np.int64)
    missing = max(0, budget - int(counts.sum()))
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    counts[counts.argmax()] += budget - int(counts.sum())  # 0 but for rounding in `exact`
    return np.append(counts + LEAST, escape).astype(np.int32)
