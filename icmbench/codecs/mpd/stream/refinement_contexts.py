"""Context modelling of the refinement sections: slots and direct inputs of every coded bit.

The magnitude of a coefficient's residual is known in steps of the plane's threshold T: 0 while it
is insignificant. Cells and channels before the coefficient are known in the present plane, those
behind it in the plane before. The *lean* of a coefficient is the mean of its neighbours' decoded
latents less its own value: neighbouring cells are alike, the palette's means are not.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from icmbench.bitstream.arithmetic import LOGIT_ONE
from icmbench.codecs.mpd.stream import contexts as ctx
from icmbench.core.jit import compiled

Ints = NDArray[np.int64]

# Features of a coefficient, see `coefficient_features`.
NEAR, BEFORE, AFTER, LEAN, BUSY, SAME, W, N, NW, NE, E, S = range(12)
FEATURES: Final = 12
SIGNIFICANCE_SLOTS: Final = 11
_FINE: Final = 16  # steps of a lean in a threshold
_SIZES: Final = np.array([0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 7, 7, 7] + [8] * 8 + [9], np.int64)
_LEANS: Final = np.array([0, 1, 1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6,
                          6, 6, 6, 6, 6, 6, 6, 7], np.int64)  # fmt: skip


class Field(NamedTuple):
    """Knowledge of the coefficients that encoder and decoder share.

    Attributes:
        labels: int16 (h, w), entry of every cell. palette: int32 (K, C), z_0 of every entry.
        levels: int32 (h, w, C), residual in thresholds, rounded towards 0.
        latent: int32 (h, w, C), decoded latent.
        busy: int32 (h, w), sum of a cell's magnitudes.
    """

    labels: NDArray[np.int16]
    palette: NDArray[np.int32]
    levels: NDArray[np.int32]
    latent: NDArray[np.int32]
    busy: NDArray[np.int32]


@compiled
def _size(value: int) -> int:
    return _SIZES[min(value, 21)]


@compiled
def _three(value: int) -> int:
    return min(value, 2)


@compiled
def lean_class(lean: int) -> int:
    """Class 0-14 of a lean in 1/16 of a threshold: 7 is none."""
    size = _LEANS[min(abs(lean), 32)]
    return 7 + size if lean > 0 else 7 - size


@compiled
def cell_features(field: Any, y: int, x: int, out: Ints) -> None:
    """Features that all channels of a cell share: BUSY and SAME."""
    labels, _, _, _, busy = field
    height, width = labels.shape
    total = np.int64(0)
    same = 0
    if x > 0:
        total += 2 * busy[y, x - 1]
        same += labels[y, x - 1] == labels[y, x]
    if y > 0:
        total += 2 * busy[y - 1, x]
        same += 2 * (labels[y - 1, x] == labels[y, x])
        if x > 0:
            total += busy[y - 1, x - 1]
        if x + 1 < width:
            total += busy[y - 1, x + 1]
    if x + 1 < width:
        total += 2 * busy[y, x + 1]
        same += 4 * (labels[y, x + 1] == labels[y, x])
    if y + 1 < height:
        total += 2 * busy[y + 1, x]
        same += 8 * (labels[y + 1, x] == labels[y, x])
    out[BUSY] = ctx.log2_class(total, 11)
    out[SAME] = same


@compiled
def coefficient_features(
    field: Any, y: int, x: int, c: int, threshold: int, scale: int, out: Ints
) -> None:
    """Features of one coefficient.

    Args:
        threshold: T of the present plane.
        scale: 2 for magnitudes of the plane before, 1 in the first plane.
        out: to fill: magnitudes W, N, NW, NE, E, S, their weighted sum NEAR, LEAN in 1/16 of T.
    """
    _, _, levels, latent, _ = field
    height, width = levels.shape[0], levels.shape[1]
    for i in range(W, S + 1):
        out[i] = 0
    own = np.int64(latent[y, x, c])
    lean = np.int64(0)
    weight = 0
    if x > 0:
        out[W] = abs(levels[y, x - 1, c])
        lean += 3 * (latent[y, x - 1, c] - own)
        weight += 3
    if y > 0:
        out[N] = abs(levels[y - 1, x, c])
        lean += 3 * (latent[y - 1, x, c] - own)
        weight += 3
        if x > 0:
            out[NW] = abs(levels[y - 1, x - 1, c])
        if x + 1 < width:
            out[NE] = abs(levels[y - 1, x + 1, c])
    if x + 1 < width:
        out[E] = scale * abs(levels[y, x + 1, c])
        lean += 3 * (latent[y, x + 1, c] - own)
        weight += 3
    if y + 1 < height:
        out[S] = scale * abs(levels[y + 1, x, c])
        lean += 3 * (latent[y + 1, x, c] - own)
        weight += 3
    out[NEAR] = 2 * (out[W] + out[N]) + out[NW] + out[NE] + out[E] + out[S]
    out[LEAN] = lean * _FINE // (weight * threshold) if weight else 0


@compiled
def significance_contexts(
    field: Any, y: int, x: int, c: int, plane: int, known: Ints, slots: Ints, direct: Ints
) -> int:
    """Contexts of the bit that an insignificant coefficient becomes significant.

    Args:
        known: the coefficient's features.
        slots, direct: to fill, (SIGNIFICANCE_SLOTS,) and (3,).

    Returns:
        Index of the mixer.
    """
    labels, _, levels, _, _ = field
    channel = min(c, ctx.MAX_CHANNELS - 1)
    near = _size(known[NEAR])
    gap = _LEANS[min(abs(known[LEAN]), 32)]
    before = min(_size(known[BEFORE]), 5)
    after = min(_size(known[AFTER]), 3)
    group = 0 if c == 0 else (1 if c < 4 else (2 if c < 8 else 3))
    west, north = _three(known[W]), _three(known[N])
    east, south = _three(known[E] >> 1), _three(known[S] >> 1)
    cross = ((west * 3 + north) * 3 + east) * 3 + south
    last = 0
    for i in range(1, 4):
        last = last * 3 + (_three(abs(levels[y, x, c - i])) if c >= i else 0)
    slots[0] = ctx.RATE + plane * ctx.MAX_CHANNELS + channel
    slots[1] = ctx.NEAR + (channel * 10 + near) * 6 + before
    slots[2] = ctx.CROSS + channel * 81 + cross
    ring = (cross * 3 + _three(known[NW])) * 3 + _three(known[NE])
    slots[3] = ctx.RING + group * 729 + ring
    slots[4] = ctx.GAP + (channel * 8 + gap) * 10 + near
    slots[5] = ctx.LAST + (channel * 27 + last) * 3 + min(after, 2)
    slots[6] = ctx.SAME + (channel * 16 + known[SAME]) * 3 + min(near, 2)
    slots[7] = ctx.BUSY + (channel * 12 + known[BUSY]) * 4 + after
    slots[8] = ctx.PLANE_BUSY + (plane * 12 + known[BUSY]) * 6 + before
    slots[9] = ctx.PLANE_GAP + (plane * 8 + gap) * 10 + near
    slots[10] = ctx.ENTRY + (plane * ctx.MAX_ENTRIES + labels[y, x]) * ctx.MAX_CHANNELS + channel
    direct[0] = LOGIT_ONE
    direct[1] = min(abs(known[LEAN]) * LOGIT_ONE // _FINE, 2 * LOGIT_ONE)
    direct[2] = 64 * near
    return ctx.RATE_MIXER + channel * 4 + min(near, 3)


@compiled
def sign_contexts(
    field: Any, y: int, x: int, c: int, known: Ints, slots: Ints, direct: Ints
) -> int:
    """Contexts of a sign, 1 for negative: `slots` (4,), `direct` (2,); returns the mixer."""
    _, _, levels, _, _ = field
    height, width = levels.shape[0], levels.shape[1]
    channel = min(c, ctx.MAX_CHANNELS - 1)
    lean = lean_class(known[LEAN])
    around = _sign(levels[y, x - 1, c]) if x > 0 else 1
    around = around * 3 + (_sign(levels[y - 1, x, c]) if y > 0 else 1)
    around = around * 3 + (_sign(levels[y, x + 1, c]) if x + 1 < width else 1)
    around = around * 3 + (_sign(levels[y + 1, x, c]) if y + 1 < height else 1)
    last = 0
    for i in range(1, 4):
        last = last * 3 + (_sign(levels[y, x, c - i]) if c >= i else 1)
    slots[0] = ctx.SIGN_LEAN + channel * 15 + lean
    slots[1] = ctx.SIGN_NEAR + channel * 81 + around
    slots[2] = ctx.SIGN_LAST + channel * 27 + last
    slots[3] = ctx.SIGN_SAME + lean * 16 + known[SAME]
    direct[0] = _limited(-known[LEAN])
    direct[1] = LOGIT_ONE
    return ctx.SIGNS_MIXER + min(abs(lean - 7) // 2, 2)


@compiled
def _sign(value: int) -> int:
    return 1 + (value > 0) - (value < 0)


@compiled
def _limited(lean: int) -> int:
    return min(max(lean * LOGIT_ONE // _FINE, -2 * LOGIT_ONE), 2 * LOGIT_ONE)


@compiled
def bit_contexts(
    c: int, plane: int, size: int, lean: int, known: Ints, slots: Ints, direct: Ints
) -> int:
    """Contexts of the next bit of a known magnitude: `slots` (3,), `direct` (2,); the mixer.

    Args:
        size: magnitude in thresholds of the plane before.
        lean: of the middle of the known interval, positive where neighbours say more.
    """
    channel = min(c, ctx.MAX_CHANNELS - 1)
    size = min(size, 3) - 1
    slots[0] = ctx.BIT_LEAN + (channel * 3 + size) * 15 + lean_class(lean)
    slots[1] = ctx.BIT_NEAR + (plane * 3 + size) * 10 + _size(known[NEAR])
    slots[2] = ctx.BIT_CROSS + (channel * 3 + size) * 6 + min(_size(known[BEFORE]), 5)
    direct[0] = _limited(lean)
    direct[1] = LOGIT_ONE
    return ctx.BIT_MIXER + plane


@compiled
def level_contexts(c: int, step: int, lean: int, known: Ints, slots: Ints, direct: Ints) -> int:
    """Contexts of the unary code of a first magnitude: is it larger than `step` + 1."""
    channel = min(c, ctx.MAX_CHANNELS - 1)
    step = min(step, 11)
    slots[0] = ctx.LEVEL + channel * 12 + step
    slots[1] = ctx.LEVEL_NEAR + step * 10 + _size(known[NEAR])
    slots[2] = ctx.LEVEL_LEAN + step * 15 + lean_class(lean)
    direct[0] = _limited(lean)
    direct[1] = LOGIT_ONE
    return ctx.LEVEL_MIXER
