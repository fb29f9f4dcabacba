"""From a latent to sections: palette, labels, plan, bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from icmbench.bitstream.arithmetic import Model as Adaptive
from icmbench.codecs.mpd.palette.hierarchy import build_hierarchy, entry_limits
from icmbench.codecs.mpd.palette.plan import make_plan, split_states
from icmbench.codecs.mpd.palette.rdo import optimise
from icmbench.codecs.mpd.palette.shared_palette import SharedPalette
from icmbench.codecs.mpd.stream import contexts as ctx
from icmbench.codecs.mpd.stream.coder import State, encode_sections


def encode_latent(
    latent: NDArray[np.int16],
    *,
    rdo: float = 1.0,
    shared: SharedPalette | None = None,
    adaptive: Adaptive | None = None,
    keep: bool = False,
    features: NDArray[np.int16] | None = None,
) -> tuple[list[bytes], list[State]]:
    """Encode a latent: payloads of all sections, coarsest first, and the decoder's states.

    Args:
        latent: int16 (h, w, C), in 1/256 of an int8 step of the palette.
        rdo: strength of the rate-distortion optimisation; 0: none.
        shared: the palette to use instead of one for this image.
        adaptive: the coder's initial state; default: untrained.
        keep: update `adaptive` itself (to train it), not a copy.
        features: int16 (h, w, d), clustering features of the image's own palette, already
            weighted; the palette holds means of the latent alone.
    """
    shape = (latent.shape[0], latent.shape[1])
    limits = entry_limits(shape[0] * shape[1])
    adaptive = adaptive or ctx.fresh_model()
    adaptive = adaptive if keep else adaptive.copy()
    if shared is not None:
        hierarchy = shared.hierarchy(latent)
        states = split_states(hierarchy.leaves, limits)
        fixed = shared.means.astype(np.float64)
        labels, _, steps = optimise(hierarchy, latent, states, rdo, fixed)
        return encode_sections(shared.plan(limits, labels), shape, steps, adaptive)
    points = latent if features is None else np.concatenate([latent, features], axis=2)
    hierarchy = build_hierarchy(points.reshape(-1, points.shape[2]), limits[0])
    states = split_states(hierarchy.leaves, limits)
    labels, closed, steps = optimise(hierarchy, latent, states, rdo)
    plan = make_plan(hierarchy, labels, latent, states, closed)
    return encode_sections(plan, shape, steps, adaptive)
