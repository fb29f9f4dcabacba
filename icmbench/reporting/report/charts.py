"""Chart data of the report: the numbers of a run's tables, as JSON types, by view and metric.

A chart has views (a data set, or a task on a data set); a view has metrics with one value per
operating point. Numbers are those of the tables; nothing is fitted or smoothed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icmbench.reporting.figures.fid import DISTANCES
from icmbench.reporting.figures.published_curves import published_note, published_of
from icmbench.reporting.figures.rate_panels import (
    pareto_optimal,
    reduced_scale,
    value_limits,
    with_ceiling,
)
from icmbench.reporting.figures.rate_time import seconds_per_megapixel, variants
from icmbench.reporting.figures.rd_curves import rd_note
from icmbench.reporting.figures.style import MetricInfo
from icmbench.reporting.figures.task_curves import (
    curve_metrics,
    lossy,
    shown_metrics,
    task_metrics,
    task_note,
    task_rows,
)

QUALITY, DISTRIBUTION, TIME = "Image quality", "Distribution", "Time"
_DIGITS: Final = 6  # significant ones, as in the tables
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Quantity:
    """A vertical axis: a metric, or seconds; see `style.MetricInfo`."""

    name: str
    title: str
    unit: str
    higher_is_better: bool
    section: str = QUALITY
    log: bool = False


@dataclass
class Chart:
    """Views of one chart, and the codec entries that occur in them.

    Attributes:
        menu: label of the menu of views.
        views: JSON types; see `_view`.
    """

    name: str
    menu: str
    views: list[dict[str, Any]] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        """The chart as JSON types."""
        return {"name": self.name, "menu": self.menu, "views": self.views}


def rate_chart(
    rd: pd.DataFrame,
    metrics: Sequence[MetricInfo],
    *,
    timing: pd.DataFrame | None = None,
    distribution: pd.DataFrame | None = None,
    published: pd.DataFrame | None = None,
) -> Chart:
    """Quality, distances of distributions and seconds against rate, one view per data set."""
    chart = Chart("rd", "Data set")
    for dataset in _in_order(rd["dataset"]):
        rows = lossy(rd[rd["dataset"] == dataset])
        curves = [_curves(rows, Quantity(m.name, m.title, m.unit, m.higher_is_better))
                  for m in metrics if m.name in rows]  # fmt: skip
        if distribution is not None:
            part = lossy(distribution[distribution["dataset"] == dataset])
            distances = [Quantity(m.name, m.title, "", False, DISTRIBUTION) for m in DISTANCES]
            curves += [_curves(part, distance) for distance in distances]
        if timing is not None and len(timing):
            curves += _times(seconds_per_megapixel(timing, rows, dataset))
        outside = _published(published, dataset, "", [m.name for m in metrics])
        chart.views.append(_view(dataset, rd_note(rd, dataset), curves, outside))
    return chart


def task_chart(tasks: pd.DataFrame, published: pd.DataFrame | None = None) -> Chart:
    """Accuracy of tasks on reconstructions against rate, one view per task and data set."""
    chart = Chart("tasks", "Task")
    pairs = tasks[["dataset", "task"]].drop_duplicates().itertuples(index=False)
    for dataset, task in pairs:
        rows = task_rows(tasks, str(dataset), str(task))
        coded = lossy(rows)
        curves = []
        for metric in shown_metrics(rows, list(dict.fromkeys([*curve_metrics(), *task_metrics()]))):
            ceiling = float(rows[f"{metric.name}_ceiling"].iloc[0])
            unit = Quantity(metric.name, metric.title, metric.unit, metric.higher_is_better)
            curves.append(_curves(coded, unit, ceiling))
        outside = _published(published, str(dataset), str(task), [c["name"] for c in curves])
        chart.views.append(_view(f"{task} on {dataset}", task_note(rows), curves, outside))
    return chart


def _view(
    name: str, note: str, curves: Sequence[dict[str, Any]], outside: pd.DataFrame | None
) -> dict[str, Any]:
    """A view as JSON types: metrics without a point of ours or of others are left out."""
    published: dict[str, list[dict[str, Any]]] = {}
    for point in () if outside is None else outside.to_dict("records"):
        told: dict[str, Any] = {
            key: str(point[key]) for key in ("codec", "bits", "source", "how_read")
        }
        told |= {key: _number(point[key]) for key in ("bpp", "value")}
        published.setdefault(str(point["metric"]), []).append(told)
    shown = [
        {**curve, "published": published.get(curve["name"], [])}
        for curve in curves
        if curve["points"] or curve["name"] in published
    ]
    note += "" if outside is None else published_note(outside)
    return {"name": name, "note": note, "metrics": shown}


def _curves(rows: pd.DataFrame, metric: Quantity, ceiling: float = math.nan) -> dict[str, Any]:
    """The points of a metric; on the curve are those that are Pareto-optimal in their entry."""
    finite = rows[np.isfinite(_column(rows, metric.name)) & (_column(rows, "bpp") > 0)]
    points = []
    ordered = finite.sort_values(["family", "bpp", "codec"], kind="stable")
    for _, part in ordered.groupby("family", sort=True):
        best = pareto_optimal(
            _column(part, "bpp"), _column(part, metric.name), metric.higher_is_better
        )
        hollow = [reduced_scale(codec) for codec in part["codec"]]
        points += _points(part, metric.name, best, hollow)
    return _described(metric, points, _limits(finite, metric, ceiling), ceiling)


def _limits(rows: pd.DataFrame, metric: Quantity, ceiling: float) -> tuple[float, float] | None:
    """Limits of the vertical axis, as in the static figures; None without a point."""
    if rows.empty:
        return None
    value, low, high = (_column(rows, f"{metric.name}{end}") for end in ("", "_lo", "_hi"))
    return with_ceiling(value_limits(value, low, high), ceiling, metric.higher_is_better)


def _described(
    metric: Quantity, points: list[list[Any]], limits: tuple[float, float] | None, ceiling: float
) -> dict[str, Any]:
    return {
        "name": metric.name,
        "title": metric.title,
        "unit": metric.unit,
        "higher": metric.higher_is_better,
        "section": metric.section,
        "log": metric.log,
        "range": [_number(end) for end in limits] if limits else None,
        "ceiling": _number(ceiling),
        "points": points,
    }


def _points(
    rows: pd.DataFrame, name: str, on_curve: Iterable[Any], hollow: Iterable[bool]
) -> list[list[Any]]:
    """`[family, codec, bpp, lo, hi, value, lo, hi, on the curve, hollow]` per row."""
    names = ["bpp", "bpp_lo", "bpp_hi", name, f"{name}_lo", f"{name}_hi"]
    numbers = np.column_stack([_column(rows, column) for column in names])
    return [
        [family, codec, *map(_number, values), int(on), int(open_)]
        for family, codec, values, on, open_ in zip(
            rows["family"], rows["codec"], numbers, on_curve, hollow, strict=True
        )
    ]


def _times(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Seconds per megapixel; intervals are half the interquartile range each way.

    On a curve are the points of an entry that differ in their rate key alone; the others, such as
    those of another scale, are hollow.
    """
    found = []
    for way in ("encode", "decode"):
        timed = rows[(rows[way] > 0) & np.isfinite(rows[way])]
        half = timed[f"{way}_spread"] / 2
        # Never down to zero, where a log axis ends.
        low = timed[way] - np.minimum(half, 0.9 * timed[way])
        timed = timed.assign(**{f"{way}_lo": low, f"{way}_hi": timed[way] + half})
        points = []
        for _, part in timed.groupby(["family", "device"], sort=True):
            names = part["codec"].map(variants(part["codec"]))
            sizes = names.value_counts()
            main = names == min(sizes.index, key=lambda name: (-sizes[name], name))
            points += _points(part, way, main, ~main)
        title = f"{way.capitalize()} time"
        metric = Quantity(way, title, "s/MP", False, TIME, log=True)
        found.append(_described(metric, points, None, math.nan))
    return found


def _published(
    table: pd.DataFrame | None, dataset: str, task: str, metrics: Sequence[str]
) -> pd.DataFrame | None:
    """Published points of metrics of a data set, or of a task on it; None where there are none."""
    rows = published_of(table, dataset, task)
    if rows is None or not rows["metric"].isin(metrics).any():
        return None
    return rows[rows["metric"].isin(metrics)].sort_values(["codec", "metric", "bpp"], kind="stable")


def _in_order(names: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(str(name) for name in names))


def _column(rows: pd.DataFrame, name: str) -> Array:
    if name not in rows:
        return np.full(len(rows), np.nan)
    return rows[name].to_numpy(dtype=np.float64)


def _number(value: float) -> float | None:
    """A number as the tables hold it; None where it is missing or infinite."""
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
