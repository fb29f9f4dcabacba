"""Missed and hallucinated objects of a detector, codec by codec at matched rates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.axes import plain
from icmbench.reporting.figures.lossless import lossless
from icmbench.reporting.figures.matching import OVER, WITHIN, matched_rate
from icmbench.reporting.figures.panels import finish, grid
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.rate_panels import CEILING_DASH
from icmbench.reporting.figures.style import (
    INK,
    MUTED,
    FamilyStyle,
    MetricInfo,
    family_styles,
    metric_label,
    theme,
)
from icmbench.reporting.figures.task_curves import has_values, lossy, shown_metrics, task_rows
from icmbench.reporting.statistics.bootstrap import MIN_IMAGES

OBJECTS: Final = ("missed", "hallucinated")
MOST: Final = 3  # rates side by side
APART: Final = 2.0  # smallest ratio of two of them
_STEPS: Final = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
_PANEL = (2.95, 0.25)  # inches: width of a panel, height of one row in it
_RATES = 0.42  # inches: the rates beside a panel


def matched_points(rows: pd.DataFrame, rate: float) -> pd.DataFrame:
    """Per codec entry, the point whose mean rate is nearest to `rate`; sorted by `family`.

    The rule is that of the visual comparisons (`matching.matched_rate`), applied to means.
    """
    coded = lossy(rows)
    if coded.empty:
        return coded
    one = coded.assign(dataset="", image="", status="ok")
    return matched_rate(one, "", "", rate).drop(columns=["dataset", "image", "status"])


def shared_rates(rows: pd.DataFrame, most: int = MOST) -> list[float]:
    """At most `most` round rates where as many codec entries as possible have a point, ascending.

    Greedy: each rate adds the most codec entries that have no point at the rates before, then has
    the most codec entries at all; ties go to the lower rate. Rates differ by a factor of `APART` or
    more. The search ends when a rate would add no codec entry and have fewer than two.
    """
    coded = lossy(rows)
    if coded.empty:
        return []
    low, high = coded["bpp"].min() / OVER, coded["bpp"].max() * WITHIN
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    rates = [float(f"{step:g}e{decade}") for decade in decades for step in _STEPS]
    found = {rate: _near(coded, rate) for rate in rates}
    chosen: list[float] = []
    seen: set[str] = set()
    while len(chosen) < most:
        free = [r for r in rates if all(max(r / c, c / r) >= APART * 0.999 for c in chosen)]
        ranked = [(len(found[r] - seen), len(found[r]), -r) for r in free]
        new, families, rate = max(ranked, default=(0, 0, 0.0))
        if not new and families < 2:
            break
        chosen.append(-rate)
        seen |= found[-rate]
    return sorted(chosen)


def chosen_rates(rows: pd.DataFrame, given: Sequence[float] | None) -> list[float]:
    """The rates given, or `shared_rates`; MeasurementError for more than `MOST`."""
    rates = shared_rates(rows) if given is None else sorted(given)
    if len(rates) > MOST:
        raise MeasurementError(f"at most {MOST} rates stand side by side, not {len(rates)}")
    return rates


def _near(coded: pd.DataFrame, rate: float) -> set[str]:
    """Codec entries that have a point near `rate`, by the rule of `matched_points`."""
    bpp = coded["bpp"].to_numpy(float)
    near = (bpp <= OVER * rate * (1 + 1e-12)) & (bpp * WITHIN * (1 + 1e-12) >= rate)
    return set(coded["family"].to_numpy()[near])


def task_objects(
    tasks: pd.DataFrame, dataset: str, task: str, rates: Sequence[float] | None = None
) -> Figure:
    """Draw missed and hallucinated objects of every codec at two or three rates.

    Args:
        tasks: the table `tasks`; its codec entries decide the styles.
        rates: bits per pixel, at most three; by default `shared_rates` decides.

    Returns:
        The figure: a column per rate, a row of panels per metric, a line per codec. A placeholder
        where nothing was coded, or the task has no score.

    Raises:
        MeasurementError: as `task_rows`; the task counts no objects; more than three rates.
    """
    rows = task_rows(tasks, dataset, task)
    title = f"Missed and hallucinated objects: {task}, {dataset}"
    if lossy(rows).empty:
        return placeholder(title, "no lossy codec has a point; see the failures.")
    if not has_values(rows):
        return placeholder(title, "the task has no result; see the failures.")
    metrics = shown_metrics(rows, OBJECTS)
    if not metrics:
        raise MeasurementError(f"task {task!r} on {dataset!r} has none of {', '.join(OBJECTS)}")
    rates = chosen_rates(rows, rates)
    if not rates:
        return placeholder(title, "no lossy codec has a point; see the failures.")
    names = sorted(set(lossy(rows)["family"]))
    matched = [matched_points(rows, rate) for rate in rates]
    styles = family_styles(tasks["family"])
    # A column alone would be too narrow for the title.
    width = max(_PANEL[0], 0.095 * len(title) / len(rates))
    height = 1.0 + _PANEL[1] * (len(names) + 1.1)
    beside = 0.066 * max(len(name) for name in names)
    with theme():
        figure, panels = grid(
            len(rates) * len(metrics), width, height, columns=len(rates), beside=beside
        )
        for index, axes in enumerate(panels):
            metric, column = metrics[index // len(rates)], index % len(rates)
            _panel(axes, matched[column], metric, names, styles, _limit(rows, matched, metric))
            _ceiling(axes, float(rows[f"{metric.name}_ceiling"].iloc[0]), len(names))
            axes.set_title(f"at {plain(rates[column])} bpp", loc="left", fontsize=8.5)
            axes.set_yticks(range(len(names)), names if column == 0 else [""] * len(names))
        finish(figure, title, _note(rows))
    return figure


def _limit(rows: pd.DataFrame, matched: Sequence[pd.DataFrame], metric: MetricInfo) -> float:
    """End of the axis that the panels of a metric share."""
    ends = [rows[f"{metric.name}_ceiling"], *(p[n] for p in matched for n in _columns(metric))]
    values = np.concatenate([np.asarray(end, np.float64) for end in ends])
    return 1.06 * float(np.nanmax(np.append(values, 0.0))) or 1.0


def _columns(metric: MetricInfo) -> tuple[str, str, str]:
    return metric.name, f"{metric.name}_lo", f"{metric.name}_hi"


def _panel(
    axes: Axes,
    points: pd.DataFrame,
    metric: MetricInfo,
    names: Sequence[str],
    styles: Mapping[str, FamilyStyle],
    limit: float,
) -> None:
    """One metric at one rate: a row per codec, its rate beside it."""
    axes.set(xlim=(-0.02 * limit, limit), ylim=(len(names) + 0.6, -0.5))
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(f"← better, {metric_label(metric)}")
    _beside(axes, -0.5, "bpp", bottom=True)
    found = {row["family"]: row for row in points.to_dict("records")}
    for y, name in enumerate(names):
        value, low, high = (
            float(found[name][key]) if name in found else math.nan for key in _columns(metric)
        )
        if not math.isfinite(value):
            words = "no value" if name in found else "no point near this rate"
            axes.text(
                0.01 * limit, y, words, va="center", fontsize=7, color=MUTED, zorder=5,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
            )  # fmt: skip
            continue
        style = styles[name]
        _beside(axes, y, plain(float(f"{found[name]['bpp']:.2g}")))
        if math.isfinite(low):
            axes.plot([low, high], [y, y], color=style.colour, linewidth=1.5, zorder=3)
        axes.plot(
            [value], [y], linestyle="none", marker=style.marker, markersize=6, zorder=4,
            color=style.colour, markeredgecolor="white" if style.marker not in "*XP" else None,
            markeredgewidth=0.4, label=name,
        )  # fmt: skip


def _beside(axes: Axes, y: float, words: str, bottom: bool = False) -> None:
    axes.annotate(
        words, (1, y), (_RATES * 72 - 2, 4 if bottom else 0), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="right", va="bottom" if bottom else "center", fontsize=7,
        color=MUTED,
    )  # fmt: skip


def _ceiling(axes: Axes, ceiling: float, rows: int) -> None:
    """A dotted line at the value on the originals, its label in the free row at the bottom."""
    if not math.isfinite(ceiling):
        return
    axes.axvline(ceiling, color=INK, linestyle=CEILING_DASH, linewidth=1.2, zorder=2)
    right = ceiling < axes.get_xlim()[1] / 2
    axes.annotate(
        f"originals {ceiling:.3g}", (ceiling, rows + 0.05), (3 if right else -3, 0),
        textcoords="offset points", ha="left" if right else "right", va="center", fontsize=7,
    )  # fmt: skip


def _note(rows: pd.DataFrame) -> str:
    """Note: definitions, matching of rates, and the ceiling."""
    images = int(rows["images"].max())
    text = (
        "Missed: share of the objects that no box of score 0.5 or more and of the right class "
        "covers at an IoU of 0.5. Hallucinated: such boxes, per image, that cover no object. At a "
        "rate stands each codec's operating point whose mean rate is nearest, from "
        f"{WITHIN:g} times below to {OVER:g} times above; its rate is at the right. "
        f"{images} image{'' if images == 1 else 's'}; "
    )
    interval = "line: 95\u00a0% bootstrap interval over images."
    text += interval if images >= MIN_IMAGES else f"no intervals below {MIN_IMAGES} images."
    text += f" Dotted: the same model ({rows['model'].iloc[0]}) on the originals, never coded."
    if failed := int(rows["failed"].sum()):
        text += f" {failed} coding{'s' if failed > 1 else ''} failed, see the failures."
    if names := ", ".join(sorted(set(rows.loc[lossless(rows), "family"]))):
        text += f" The lossless reference ({names}) is left out."
    return text
