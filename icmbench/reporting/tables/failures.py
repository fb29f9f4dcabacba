"""The table of failures: reason and number of images per codec spec and status."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from icmbench.reporting.statistics.comparison import grids

COLUMNS = ("dataset", "family", "codec", "status", "images", "first_image", "detail")


REFUSED = "refused"


def failures_table(
    measurements: pd.DataFrame, refused: Iterable[tuple[str, str, str]] = ()
) -> pd.DataFrame:
    """One row per data set, codec spec and status other than `ok`, and one per refused image.

    `images`: number of images with this status; `first_image`: the first of them in sorted order;
    `detail`: the reason for that image, on one line. Images that other codec specs of the data set
    have and this one lacks are counted under the status `missing`.

    `refused` are images that were not coded, as (dataset, image, reason): rows of status
    `refused` with empty `family` and `codec`, one image each. Sorted by dataset, family, codec,
    status, so that they head their data set. Raises `MeasurementError` as `comparison.grids` does.
    """
    rows = [
        (*key, len(part), first["image"], _one_line(first["detail"]))
        for key, part, first in _failed_groups(measurements)
    ]
    rows += [
        (dataset, "", "", REFUSED, 1, image, _one_line(reason))
        for dataset, image, reason in refused
    ]
    present = set(
        zip(*(measurements[n] for n in ("dataset", "family", "codec", "image")), strict=True)
    )
    for grid in grids(measurements, ()):
        specs = [(point.family, spec) for point in grid.points for spec in grid.specs(point)]
        for family, codec in specs:
            missing = [i for i in grid.images if (grid.dataset, family, codec, i) not in present]
            if missing:
                rows.append(
                    (grid.dataset, family, codec, "missing", len(missing), missing[0], "no row")
                )
    return pd.DataFrame(sorted(rows), columns=list(COLUMNS))


def _failed_groups(
    measurements: pd.DataFrame,
) -> list[tuple[tuple[str, ...], pd.DataFrame, pd.Series]]:
    failed = measurements[measurements["status"] != "ok"].sort_values("image", kind="stable")
    names = ["dataset", "family", "codec", "status"]
    groups = failed.groupby(names, sort=True, observed=True)
    return [(tuple(map(str, key)), part, part.iloc[0]) for key, part in groups]


def _one_line(detail: object) -> str:
    return " ".join(detail.split()) if isinstance(detail, str) else ""
