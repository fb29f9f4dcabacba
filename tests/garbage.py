"""Streams that pass every checksum and say nonsense; also run by itself, with bounds checked.

NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=... python tests/garbage.py TRIALS
"""

from __future__ import annotations

import json
import sys
from collections import Counter

import numpy as np
from latents import noise, photograph

from icmbench.bitstream.arithmetic import Model
from icmbench.codecs.mpd.palette.hierarchy import entry_limits
from icmbench.codecs.mpd.palette.shared_palette import SharedPalette, make_shared_palette
from icmbench.codecs.mpd.stream import contexts as ctx
from icmbench.codecs.mpd.stream.coder import State, palette_states, section_states, walk_sections
from icmbench.codecs.mpd.stream.encoder import encode_latent
from icmbench.core.errors import CorruptStream
from icmbench.models.latent import LIMIT

SHAPES = ((1, 1), (2, 2), (1, 9), (9, 1), (6, 7), (13, 11), (32, 33))
REACH = 1 << 16  # twice the largest latent: what a mean may be


def shared_palette() -> SharedPalette:
    return make_shared_palette([photograph(24, 32, 1)])


def garbage_payloads(trial: int) -> tuple[tuple[int, int], list[bytes]]:
    """Payloads of a latent's shape: random, all one byte, good ones with some bytes changed, of
    the palette or of the whole stream, or a good palette with random refinements.
    """
    shape = SHAPES[trial % len(SHAPES)]
    draw = noise((64,), trial * 7 + 1) + 32768
    palette, whole = (len(of(shape[0] * shape[1])) for of in (palette_states, section_states))
    kind = trial // len(SHAPES) % 6
    count = 1 + int(draw[0]) % (whole if kind == 5 else palette)
    if kind == 0:
        sizes = draw[1 : 1 + count] % 80
        payloads = [
            (noise((int(size),), trial * 31 + index) & 255).astype(np.uint8).tobytes()
            for index, size in enumerate(sizes)
        ]
    elif kind == 1:
        payloads = [bytes([int(draw[1]) & 255]) * int(draw[2 + i] % 200) for i in range(count)]
    elif kind == 4:
        payloads = encode_latent(photograph(*shape, trial))[0]
        for index in range(1 + int(draw[1]) % 3):
            size = 1 + int(draw[2 + index]) % (3 if shape[0] * shape[1] < 9 else 200)
            values = noise((size,), trial * 31 + index) & 255
            payloads.append(values.astype(np.uint8).tobytes())
    else:
        rdo = float(kind == 3)
        payloads = encode_latent(photograph(*shape, trial), rdo=rdo, refine=6)[0][:count]
        for change in range(1 + int(draw[20]) % 4):
            at = int(draw[21 + change]) % len(payloads)
            altered = bytearray(payloads[at])
            if altered:
                place = int(draw[30 + change]) % len(altered)
                altered[place] ^= 1 + int(draw[40 + change]) % 255
            payloads[at] = bytes(altered)
    return shape, payloads


def check_states(states: list[State], shape: tuple[int, int], channels: int) -> None:
    """Any decoded state is a legal one."""
    limits = entry_limits(shape[0] * shape[1])
    for state in states:
        entries = len(state.palette)
        assert 1 <= entries <= limits[max(state.state, 0)]
        assert state.palette.shape == (entries, channels)
        assert state.labels.shape == shape
        assert state.labels.min() >= 0
        assert state.labels.max() < entries
        assert abs(state.palette.astype(np.int64)).max() <= REACH
        assert np.isfinite(state.bits).all()
        assert (state.refined is None) == (state.state >= 0)
        if state.bounds is not None:
            low, high = state.bounds
            latent = state.latent()
            assert latent.shape == (*shape, channels)
            assert (low >= -LIMIT).all()
            assert (low <= latent).all()
            assert (latent <= high).all()
            assert (high <= LIMIT).all()


def try_garbage(trial: int, model: Model, shared: SharedPalette | None) -> str:
    """`refused` or `decoded`; anything else is an error that escapes."""
    shape, payloads = garbage_payloads(trial)
    try:
        states = list(walk_sections(payloads, shape, 4, model.copy(), shared))
    except CorruptStream:
        return "refused"
    check_states(states, shape, 4)
    return "decoded"


if __name__ == "__main__":
    palette = shared_palette()
    fresh = ctx.fresh_model()
    trials = range(int(sys.argv[1]))
    outcomes = Counter(try_garbage(i, fresh, palette if i % 2 else None) for i in trials)
    print(json.dumps(outcomes))
