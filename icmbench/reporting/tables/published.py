"""Tables of published points: those that agree with a run, and BD-rates against their curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import pandas as pd

from icmbench.reporting.published.points import deviation
from icmbench.reporting.statistics.curves import Curves
from icmbench.reporting.tables.bd_rate import compare_curves
from icmbench.reporting.tables.point_subsets import mean_curves

COLUMNS: Final = (
    "dataset", "codec", "task", "metric", "bpp", "value", "bits", "source", "how_read",
)  # fmt: skip
BD_COLUMNS: Final = (
    "dataset", "family", "published", "task", "metric", "bd_rate", "overlap", "points",
    "published_points", "bits", "source", "note", "quality_low", "quality_high", "specs",
)  # fmt: skip
_TYPES: Final = dict.fromkeys(("bd_rate", "overlap", "quality_low", "quality_high"), "float64") | {
    "points": "Int64",
    "published_points": "Int64",
}


def published_table(
    rows: Sequence[Mapping[str, Any]], images: Mapping[str, int], compared: Mapping[str, int]
) -> pd.DataFrame:
    """The published points of a run: `COLUMNS`, in the order given.

    Args:
        rows: of `overlay.agreeing`.
        images: data set -> number of its images.
        compared: data set -> number of images that the tables of the run average over. A data set
            of which images are missing there has no rows: published means are over all.
    """
    kept = [row for row in rows if compared.get(row["dataset"], 0) == images[row["dataset"]]]
    return pd.DataFrame(kept, columns=list(COLUMNS))


def published_bd_rates(
    published: pd.DataFrame,
    rd: pd.DataFrame,
    tasks: pd.DataFrame | None,
    directions: Mapping[str, bool],
    *,
    min_overlap: float,
) -> pd.DataFrame:
    """BD-rates of every codec entry against every published curve: `BD_COLUMNS`.

    Computed as in `bd_rate.csv`, between curves of means. There are no intervals: the published
    curve has no values of single images, and images of both curves are the same, so that those of
    ours alone would say nothing about the difference.

    Args:
        published: of `published_table`.
        rd, tasks: tables of the run.
        directions: metric -> True where higher is better.
    """
    rows: list[dict[str, object]] = []
    for group, part in published.groupby(["dataset", "task", "metric"], sort=False):
        dataset, task, metric = map(str, group)
        if metric not in directions:
            continue
        own = _own_curves(dataset, task, metric, rd, tasks, directions[metric])
        for codec, points in part.groupby("codec", sort=False):
            known = points.rename(columns={"value": metric}).assign(family=codec)
            (theirs,) = mean_curves(known, metric, directions[metric]).values()
            key = {"dataset": dataset, "task": task, "metric": metric, "published": codec}
            key |= {name: "; ".join(dict.fromkeys(points[name])) for name in ("bits", "source")}
            notes = _deviations(points["how_read"])
            for family, curve in own.items():
                entry = compare_curves(
                    curve, theirs, 0, min_overlap, higher_is_better=directions[metric]
                )
                rows.append({**key, "family": family, **_columns(entry, notes)})
    return pd.DataFrame(rows, columns=list(BD_COLUMNS)).astype(_TYPES)


def _columns(entry: Mapping[str, object], notes: Sequence[str]) -> dict[str, object]:
    """The columns of a comparison, with the deviations of the published metric in its note."""
    found = {key: value for key, value in entry.items() if not key.startswith("anchor_")}
    found["published_points"] = entry["anchor_points"]
    own = str(entry["note"]).replace("anchor:", "published:")
    return found | {"note": "; ".join(filter(None, [own, *notes]))}


def _own_curves(
    dataset: str,
    task: str,
    metric: str,
    rd: pd.DataFrame,
    tasks: pd.DataFrame | None,
    higher_is_better: bool,
) -> dict[str, Curves]:
    """Curves of the lossy codec entries of a run."""
    # Imported on first use, as the package of the figures loads matplotlib.
    from icmbench.reporting.figures.lossless import lossless

    if not task:
        rows = rd[rd["dataset"] == dataset]
        return mean_curves(rows[~lossless(rows)], metric, higher_is_better)
    if tasks is None:
        return {}
    same = (tasks["dataset"] == dataset) & (tasks["task"] == task) & (tasks["metric"] == metric)
    rows = tasks[same].rename(columns={"value": metric})
    return mean_curves(rows[~lossless(rows, by_metrics=False)], metric, higher_is_better)


def _deviations(texts: Iterable[str]) -> list[str]:
    return [text for text in dict.fromkeys(map(deviation, texts)) if text]
