"""Agreement of two machines on a decoded stream: its five classes, and their table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from icmbench.codecs.base import Image
from icmbench.core.errors import MeasurementError
from icmbench.core.typed_csv import read_table

# Of the other machine's reconstruction against the one made here: equal; no code value further away
# than 1; further away, or of another size; its decoder raised one of our stream errors (the
# symbols' digest, the weights' digest, a checksum); there is no reconstruction for any other
# reason.
AGREEMENT = ("identical", "within_1", "different", "refused", "missing")
COLUMNS = {
    "dataset": "str",
    "family": "str",
    "codec": "str",
    "image": "str",
    "outcome": "str",
    "max_difference": "Int64",
    "differing": "float64",
    "detail": "str",
    "here": "str",
    "elsewhere": "str",
}


@dataclass(frozen=True)
class Agreement:
    """One stream: its class, and where there are two reconstructions of one size, how they differ.

    Attributes:
        outcome: one of `AGREEMENT`.
        max_difference: largest difference of a code value.
        differing: share of the pixels that differ in any channel.
        detail: why there is no reconstruction, or that it has another size.
    """

    outcome: str
    max_difference: int | None = None
    differing: float | None = None
    detail: str = ""


def agreement(here: Image, elsewhere: Image) -> Agreement:
    """The agreement of two reconstructions, uint8 (H, W, 3)."""
    if here.shape != elsewhere.shape:
        sizes = [f"{shape[1]}x{shape[0]}" for shape in (elsewhere.shape, here.shape)]
        return Agreement("different", detail=f"decoded to {sizes[0]}, here to {sizes[1]}")
    apart = np.abs(here.astype(np.int16) - elsewhere)
    largest = int(apart.max())
    outcome = "identical" if largest == 0 else "within_1" if largest == 1 else "different"
    return Agreement(outcome, largest, float(apart.any(axis=2).mean()))


def read_verification(path: Path) -> pd.DataFrame:
    """A table that `icmbench verify` wrote; MeasurementError naming the file where it is none."""
    try:
        frame = read_table(path)[list(COLUMNS)].astype(COLUMNS)
    except (KeyError, ValueError, TypeError) as error:
        raise MeasurementError(f"{path}: not a table of `icmbench verify`: {error}") from error
    if wrong := sorted(set(frame["outcome"]) - set(AGREEMENT)):
        raise MeasurementError(f"{path}: unknown outcome {wrong[0]!r}")
    return frame
