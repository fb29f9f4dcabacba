"""From a latent to sections: palette, labels, plan, bytes."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from icmbench.bitstream.arithmetic import Model as Adaptive
from icmbench.codecs.mpd.palette.clustering import weighted
from icmbench.codecs.mpd.palette.hierarchy import build_hierarchy, entry_limits
from icmbench.codecs.mpd.palette.plan import make_plan, split_states
from icmbench.codecs.mpd.palette.rdo import optimise
from icmbench.codecs.mpd.palette.shared_palette import SharedPalette
from icmbench.codecs.mpd.stream import contexts as ctx
from icmbench.codecs.mpd.stream.coder import State, encode_refinements, encode_sections
from icmbench.codecs.mpd.stream.refinement import SIZES, nearest_size
from icmbench.models.latent import LIMIT

# Slope of a dead-zone quantiser in squared thresholds per bit, where few coefficients are not 0.
SLOPE_OF_SQUARE: Final = 0.2


class Guidance(NamedTuple):
    """Guidance of clustering and label optimisation; see `encode_latent`.

    Attributes:
        features: int16 (h, w, d) or None.
        keep: weight of their error in the label optimisation, relative to that in the clustering.
        metric: float64 (C,) or None.
    """

    features: NDArray[np.int16] | None
    keep: float
    metric: NDArray[np.float64] | None

    def points(self, latent: NDArray[np.int16]) -> NDArray[np.int16]:
        """Coordinates of the clustering, int16 (h, w, C + d)."""
        seen = latent
        if self.metric is not None:
            scaled = np.rint(latent * np.sqrt(self.metric))
            seen = np.clip(scaled, -LIMIT, LIMIT).astype(np.int16)
        if self.features is None:
            return seen
        return np.concatenate([seen, self.features], axis=2)

    def kept(self) -> NDArray[np.int16] | None:
        """Coordinates beside the latent of which the labels keep the error."""
        if self.features is None or self.keep == 0:
            return None
        return weighted(self.features, self.keep)


def encode_latent(
    latent: NDArray[np.int16],
    *,
    carried: int | None = None,
    rdo: float = 1.0,
    refine: int = 0,
    coarser: int = 0,
    shared: SharedPalette | None = None,
    adaptive: Adaptive | None = None,
    keep: bool = False,
    features: NDArray[np.int16] | None = None,
    keep_features: float = 0.0,
    metric: NDArray[np.float64] | None = None,
) -> tuple[list[bytes], list[State]]:
    """Encode a latent: payloads of all sections, coarsest first, and the decoder's states.

    Args:
        latent: int16 (h, w, C), in 1/256 of an int8 step of the palette.
        carried: leading channels that the palette carries; None: all. The others are in the
            refinement sections alone.
        rdo: strength of the rate-distortion optimisation; 0: none.
        refine: number of refinement sections behind those of the palette.
        coarser: eighths of an octave by which the refinement's thresholds are raised.
        shared: the palette to use instead of one for this image.
        adaptive: the coder's initial state; default: untrained.
        keep: update `adaptive` itself (to train it), not a copy.
        features: int16 (h, w, d), clustering features of the image's own palette, already
            weighted; the palette holds means of the latent alone.
        keep_features: weight of their squared error in the optimisation of the labels.
        metric: float64 (C,), weights of the palette's channels in the squared error that clustering
            and optimisation reduce; None: 1.
    """
    adaptive = adaptive or ctx.fresh_model()
    adaptive = adaptive if keep else adaptive.copy()
    leading = np.ascontiguousarray(latent[:, :, :carried])
    guidance = Guidance(features, keep_features, metric)
    payloads, states, slope = _encode_palette(leading, rdo, shared, adaptive, guidance)
    if refine:
        size = first_size(states[-1], latent, slope) + coarser
        size = min(size, SIZES - 1)
        more, refined = encode_refinements(states[-1], latent, size, refine, adaptive)
        payloads, states = payloads + more, states + refined
    return payloads, states


def first_size(state: State, latent: NDArray[np.int16], slope: float) -> int:
    """The size of the first threshold: state -1 continues the slope of state 0.

    Args:
        slope: lambda_0 of the palette's optimisation, in squared latent units per bit.

    A threshold below 1/16 of the largest residual would code the first plane bit by bit.
    """
    largest = int(np.abs(latent - state.latent(latent.shape[2])).max())
    return nearest_size(max(math.sqrt(slope / SLOPE_OF_SQUARE), largest / 16))


def _encode_palette(
    latent: NDArray[np.int16],
    rdo: float,
    shared: SharedPalette | None,
    adaptive: Adaptive,
    guidance: Guidance,
) -> tuple[list[bytes], list[State], float]:
    """Payloads and states of the palette's sections, and the slope of state 0."""
    shape = (latent.shape[0], latent.shape[1])
    limits = entry_limits(shape[0] * shape[1])
    if shared is not None:
        hierarchy = shared.hierarchy(latent)
        states = split_states(hierarchy.leaves, limits)
        fixed = shared.means.astype(np.float64)
        labels, _, steps, slope = optimise(hierarchy, latent, states, rdo, fixed, guidance.metric)
        plan = shared.plan(limits, labels)
    else:
        points = guidance.points(latent)
        hierarchy = build_hierarchy(points.reshape(-1, points.shape[2]), limits[0])
        states = split_states(hierarchy.leaves, limits)
        labels, closed, steps, slope = optimise(
            hierarchy, latent, states, rdo, metric=guidance.metric, kept=guidance.kept()
        )
        plan = make_plan(hierarchy, labels, latent, states, closed)
    return *encode_sections(plan, shape, steps, adaptive), slope
