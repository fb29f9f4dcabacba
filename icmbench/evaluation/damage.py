"""Damage: how a stream is cut or altered.

Where the damage strikes is drawn per image, kind and trial as fractions of the stream, so every
codec gets the same trials whatever its rate.
"""

from __future__ import annotations

import numpy as np

from icmbench.core.errors import MeasurementError
from icmbench.core.files import seed_from

DAMAGES = ("truncate", "bit-flip", "byte-swap")
# The decoder raised (on our own containers: a typed error); it gave the undamaged stream's
# reconstruction; another reconstruction; its process died (or, on our own containers, an untyped
# error escaped); no answer within the time limit.
OUTCOMES = ("refused", "decoded_right", "decoded_wrong", "crashed", "hung")
NONE = "none"  # the undamaged stream: what the trials are held against
BEST_EFFORT = ", best effort"


def draw_places(seed: int, image: str, damage: str, trial: int) -> tuple[float, float]:
    """Draw the places of damage: fractions in [0, 1) of the stream, two for `byte-swap`."""
    first, second = np.random.default_rng(seed_from(seed, image, damage, trial)).random(2)
    return float(first), float(second) if damage == "byte-swap" else float("nan")


def damage_stream(stream: bytes, damage: str, places: tuple[float, float]) -> bytes | None:
    """The damaged stream, always another than the given one.

    `truncate` keeps 0 to n - 1 of n bytes, `bit-flip` inverts one bit, `byte-swap` exchanges two
    unequal bytes: from the second place on, the first byte that differs from the one at the first
    place. None where the stream holds only one value and nothing can be exchanged.

    Raises MeasurementError for an empty stream or an unknown kind of damage.
    """
    size = len(stream)
    if size == 0:
        raise MeasurementError("an empty stream cannot be damaged")
    if damage == "truncate":
        return stream[: int(places[0] * size)]
    altered = bytearray(stream)
    if damage == "bit-flip":
        bit = int(places[0] * size * 8)
        altered[bit // 8] ^= 1 << bit % 8
    elif damage == "byte-swap":
        one, start = int(places[0] * size), int(places[1] * size)
        behind = (at % size for at in range(start, start + size))
        other = next((at for at in behind if stream[at] != stream[one]), None)
        if other is None:
            return None
        altered[one], altered[other] = stream[other], stream[one]
    else:
        raise MeasurementError(f"unknown damage {damage!r}, known are {', '.join(DAMAGES)}")
    return bytes(altered)
