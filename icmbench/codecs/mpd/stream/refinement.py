"""Refinement sections: the residual of the latent against state 0, bit plane by bit plane.

The residual r = z - z_0 of all channels is coded by an embedded dead-zone quantiser. Plane k has
the threshold T_k = T_1 / 2^(k-1). After it every coefficient's level, sign(r) floor(|r| / T_k), is
known, and with it exact bounds of z. Encoder and decoder share one function, all in integers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.bitstream.arithmetic import code_golomb, code_mixed
from icmbench.codecs.mpd.stream import contexts as ctx
from icmbench.codecs.mpd.stream import refinement_contexts as features
from icmbench.codecs.mpd.stream.refinement_contexts import AFTER, BEFORE, LEAN, Field
from icmbench.core.jit import compiled
from icmbench.models.latent import LIMIT

Ints = NDArray[np.int64]

REFINEMENTS: Final = ctx.PLANES
OK, IMPOSSIBLE_LATENT = range(2)
SIZES: Final = 96  # of T_1, an eighth of an octave apart: 32 to 120,000, beyond any residual
_UNARY: Final = 20  # larger first magnitudes go on in an Exp-Golomb code
_GOLOMB: Final = 12
_CENTRES: Final = 32  # steps of the reconstruction points within a threshold
_THRESHOLDS: Final = np.array(
    [round(2 ** (size / 8)) << (REFINEMENTS - 1) for size in range(SIZES)], np.int64
)


@dataclass(frozen=True)
class Refinement:
    """Knowledge of every coefficient after a refinement section.

    Attributes:
        levels: int32 (h, w, C), z - z_0 in thresholds, rounded towards 0.
        threshold: T, in the latent's units.
        latent: int32 (h, w, C), the reconstructed latent z_t.
    """

    levels: NDArray[np.int32]
    threshold: int
    latent: NDArray[np.int32]

    def bounds(self, means: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Least and largest latent of every coefficient, given z_0, int32 (h, w, C)."""
        inner, outer = (
            np.abs(self.levels) * self.threshold,
            (np.abs(self.levels) + 1) * self.threshold,
        )
        low = np.where(self.levels > 0, inner, 1 - outer)
        high = np.where(self.levels < 0, -inner, outer - 1)
        return (
            np.maximum(means + low, -LIMIT).astype(np.int32),
            np.minimum(means + high, LIMIT).astype(np.int32),
        )


def thresholds(size: int) -> list[int]:
    """T_1, T_2 ... of all planes for a coded size of the first one."""
    return [int(_THRESHOLDS[size]) >> plane for plane in range(REFINEMENTS)]


def nearest_size(threshold: float) -> int:
    """The size of the first threshold nearest to a given one, by ratio."""
    octaves = math.log2(max(threshold, 1.0)) - (REFINEMENTS - 1)
    return min(max(round(8 * octaves), 0), SIZES - 1)


def new_field(labels: NDArray[np.int16], palette: NDArray[np.int32], channels: int) -> Field:
    """Nothing is known but state 0; channels that the palette does not carry are 0 there."""
    shape = (*labels.shape, channels)
    whole = np.zeros((len(palette), channels), np.int32)
    whole[:, : palette.shape[1]] = palette
    latent = np.clip(whole, -LIMIT, LIMIT)[labels]
    return Field(labels, whole, np.zeros(shape, np.int32), latent, np.zeros(shape[:2], np.int32))


def choose_centres(residual: NDArray[np.int32], threshold: int) -> Ints:
    """Mean place of the residuals in the first bin and in later ones, in 1/32 of the threshold."""
    size = np.abs(residual)
    levels, rest = np.divmod(size, threshold)
    found = np.full(2, _CENTRES // 2, np.int64)
    for which, chosen in enumerate((levels == 1, levels > 1)):
        if chosen.any():
            place = float(rest[chosen].mean()) * _CENTRES / threshold
            found[which] = min(int(place), _CENTRES - 1)
    return found


@compiled
def code_plane(
    decoding: bool,
    plane: int,
    size: int,
    centres: Ints,
    registers: Ints,
    buffer: NDArray[np.uint8],
    model: Any,
    field: Any,
    residual: NDArray[np.int32],
    bits: NDArray[np.float64],
) -> int:
    """Code one plane; changes model and field; returns the size of T_1, or -1 - fault.

    Args:
        plane: 0 is the first.
        size: of the first threshold; the decoder reads it in the first plane.
        centres: the encoder's reconstruction points of the first bin and of later ones.
        residual: int32 (h, w, C), the encoder's z - z_0; the decoder's has no cells.
        bits: float64 (4,), information content by part, added to.
    """
    if plane == 0:
        size = _code_parameter(decoding, size, 7, ctx.SIZE, registers, buffer, model, bits)
        if size >= SIZES:
            return -1 - IMPOSSIBLE_LATENT
    threshold = _THRESHOLDS[size] >> plane
    points = np.empty(2, np.int64)
    for which in range(2):
        first = ctx.CENTRE + (plane * 2 + which) * 32
        read = _code_parameter(decoding, centres[which], 5, first, registers, buffer, model, bits)
        points[which] = (2 * read + 1) * threshold // (2 * _CENTRES)
    labels, palette, levels, latent, busy = field
    scale = 1 if plane == 0 else 2
    for y in range(levels.shape[0]):
        for x in range(levels.shape[1]):
            busy[y, x] *= scale
    known = np.zeros(features.FEATURES, np.int64)
    scratch = _scratch()
    for y in range(levels.shape[0]):
        for x in range(levels.shape[1]):
            features.cell_features(field, y, x, known)
            known[BEFORE], known[AFTER] = 0, busy[y, x]
            for c in range(levels.shape[2]):
                known[AFTER] -= scale * abs(levels[y, x, c])
                features.coefficient_features(field, y, x, c, threshold, scale, known)
                goal = 0 if decoding else residual[y, x, c]
                value = _code_coefficient(
                    decoding, goal, plane, threshold, y, x, c, known, scratch, registers, buffer,
                    model, field, bits,
                )  # fmt: skip
                base = palette[labels[y, x], c]
                low, high = bounds(base, value, threshold)
                if low > high:
                    return -1 - IMPOSSIBLE_LATENT
                levels[y, x, c] = value
                point = abs(value) * threshold + points[min(abs(value), 2) - 1]
                decoded = base + (point if value > 0 else (-point if value < 0 else 0))
                latent[y, x, c] = min(max(decoded, low), high)
                known[BEFORE] += abs(value)
            busy[y, x] = known[BEFORE]
    return size


@compiled
def bounds(base: int, level: int, threshold: int) -> tuple[int, int]:
    """Least and largest latent of a level; the least is above the largest where there is none."""
    low = base + level * threshold if level > 0 else base + (level - 1) * threshold + 1
    high = base + (level + 1) * threshold - 1 if level >= 0 else base + level * threshold
    return max(low, -LIMIT), min(high, LIMIT)


@compiled
def _scratch() -> Any:
    """Slots and direct inputs by the number of them: significance, sign, bits of magnitudes."""
    return (
        np.empty(features.SIGNIFICANCE_SLOTS, np.int64),
        np.empty(3, np.int64),
        np.empty(4, np.int64),
        np.empty(3, np.int64),
        np.empty(2, np.int64),
    )


@compiled
def _code_parameter(decoding, value, places, first, registers, buffer, model, bits):
    """Code a number of some bits in a binary tree of contexts."""
    slots = np.empty(1, np.int64)
    none = np.empty(0, np.int64)
    prefix = np.int64(1)
    for place in range(places - 1, -1, -1):
        slots[0] = first + prefix
        bit = code_mixed(
            decoding, (value >> place) & 1, registers, buffer, model, ctx.PARAMETER_MIXER, slots,
            none, bits, ctx.REFINEMENT,
        )  # fmt: skip
        prefix = prefix * 2 + bit
    return prefix - (np.int64(1) << places)


@compiled
def _code_coefficient(
    decoding, goal, plane, threshold, y, x, c, known, scratch, registers, buffer, model, field, bits
):
    """Code what a plane adds to one coefficient; returns its level."""
    wide, three, four, few, two = scratch
    before = np.int64(field.levels[y, x, c])
    wanted = abs(np.int64(goal)) // threshold
    if before != 0:
        size = abs(before)
        middle = (2 * size + 1) * threshold - abs(field.latent[y, x, c] - _base(field, y, x, c))
        lean = known[LEAN] if before > 0 else -known[LEAN]
        lean -= middle * 16 // threshold
        mixer = features.bit_contexts(c, plane, size, lean, known, few, two)
        bit = code_mixed(
            decoding, wanted & 1, registers, buffer, model, mixer, few, two, bits, ctx.REFINEMENT
        )
        return 2 * before + (bit if before > 0 else -bit)
    mixer = features.significance_contexts(field, y, x, c, plane, known, wide, three)
    bit = code_mixed(
        decoding, 1 if wanted > 0 else 0, registers, buffer, model, mixer, wide, three, bits,
        ctx.REFINEMENT,
    )  # fmt: skip
    if bit == 0:
        return np.int64(0)
    mixer = features.sign_contexts(field, y, x, c, known, four, two)
    sign = code_mixed(
        decoding, 1 if goal < 0 else 0, registers, buffer, model, mixer, four, two, bits,
        ctx.REFINEMENT,
    )  # fmt: skip
    size = np.int64(1)
    if plane == 0:  # in later planes the one before bounds the magnitude
        lean = known[LEAN] if sign == 0 else -known[LEAN]
        size = _code_level(
            decoding, wanted, c, lean, known, few, two, registers, buffer, model, bits
        )
    return -size if sign else size


@compiled
def _base(field, y, x, c):
    return np.int64(field.palette[field.labels[y, x], c])


@compiled
def _code_level(decoding, wanted, c, lean, known, slots, direct, registers, buffer, model, bits):
    """Code a first magnitude of at least 1: unary, then Exp-Golomb."""
    size = np.int64(1)
    while size < _UNARY:
        mixer = features.level_contexts(c, size - 1, lean - 16 * (size + 1), known, slots, direct)
        more = code_mixed(
            decoding, 1 if wanted > size else 0, registers, buffer, model, mixer, slots, direct,
            bits, ctx.REFINEMENT,
        )  # fmt: skip
        if more == 0:
            return size
        size += 1
    rest = code_golomb(
        decoding, wanted - _UNARY + 1, _GOLOMB, registers, buffer, bits, ctx.REFINEMENT
    )
    return rest + _UNARY - 1
