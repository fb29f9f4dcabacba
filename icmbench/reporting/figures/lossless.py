"""Lossless codecs in tables: they are references, not points of a curve."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

IDENTITY = "identity"  # name of the codec, before the colon of a codec spec
_KEYS = ("bpp", "bytes")


def lossless(rows: pd.DataFrame, *, by_metrics: bool = True) -> NDArray[np.bool_]:
    """Mask of the rows whose codec entry is lossless, whatever the entry's name.

    That is an entry of the codec `identity`, or one with a metric that is infinite on all of its
    rows that have a value.

    Args:
        rows: columns `family, codec` and any metrics.
        by_metrics: False for the rows of single images, where a lossy codec may be exact.
    """
    names = rows["codec"].str.partition(":")[0] if len(rows) else rows["codec"]
    found = set(rows.loc[names == IDENTITY, "family"])
    metrics = [
        name
        for name in rows.select_dtypes("number").columns
        if by_metrics and name not in _KEYS and not name.endswith(("_lo", "_hi", "_ceiling"))
    ]
    for family, part in rows.groupby("family"):
        for name in metrics:
            values = part[name].dropna().to_numpy(float)
            if len(values) and np.isposinf(values).all():
                found.add(family)
    return rows["family"].isin(found).to_numpy(dtype=np.bool_)
