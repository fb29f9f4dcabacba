"""The table of remarks: what codecs noted about streams that they did write."""

from __future__ import annotations

import re

import pandas as pd

COLUMNS = ("dataset", "family", "remark", "encodings", "images", "first_image", "example")
_NUMBER = re.compile(r"\d+(\.\d+)?([eE][-+]?\d+)?")


def remarks_table(measurements: pd.DataFrame) -> pd.DataFrame:
    """One row per data set, codec entry and remark; numbers in a remark are written N.

    `encodings`: streams with the remark, each counted once however many points are cut from it;
    `images`: how many images they are of; `first_image`, `example`: the first of them in sorted
    order, and its remark as it is. Failures are no remarks: they have a table of their own.
    """
    noted = measurements[(measurements["status"] == "ok") & (measurements["detail"] != "")]
    noted = noted.drop_duplicates(["dataset", "family", "encoding", "image"])
    noted = noted.sort_values(["image", "encoding"], kind="stable")
    lines = noted["detail"].map(lambda text: " ".join(text.split()))
    noted = noted.assign(example=lines, remark=lines.map(lambda text: _NUMBER.sub("N", text)))
    groups = noted.groupby(["dataset", "family", "remark"], sort=True, observed=True)
    rows = [
        (*key, len(part), part["image"].nunique(), part["image"].iloc[0], part["example"].iloc[0])
        for key, part in groups
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
