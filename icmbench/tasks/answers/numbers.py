"""Numbers in the files of answers: rounded, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

DECIMALS: Final = 3  # of coordinates: a thousandth of a pixel
DIGITS: Final = 6  # of scores, significant


def rounded(values: Sequence[float]) -> list[float]:
    """Coordinates in pixels, to a thousandth."""
    return [round(float(value), DECIMALS) for value in values]


def score(value: float) -> float:
    """A score, to six significant digits."""
    return float(f"{value:.{DIGITS}g}")


def to_json(value: Any) -> bytes:
    """Compact JSON; ValueError for numbers that are not finite."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
