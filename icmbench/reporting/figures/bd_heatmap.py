"""Heat map of BD-rates against one anchor: codec entries x metrics, with values."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.axes import MINUS
from icmbench.reporting.figures.panels import finish, grid
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.style import INK, MetricInfo, theme

# Blue saves bits, yellow costs bits. Lightness rises all the way, so that a grey print keeps the
# order; a symmetric map would print +20 % and -20 % alike.
BD_MAP = LinearSegmentedColormap.from_list(
    "icmbench-bd", ["#0d3570", "#4f78ad", "#a9adb1", "#e3c469", "#fff38f"]
)
_CELL = (0.98, 0.46)
_TICKS = (-0.75, -0.5, -0.25, 0.0, 1 / 3, 1.0, 3.0)


def percent(fraction: float) -> str:
    """`-0.231` as `-23.1 %` (true minus), `2.5` as `+250 %`: always signed, three digits."""
    value = 100 * fraction
    digits = 0 if abs(value) >= 99.95 else 1
    text = f"{value:+.{digits}f}".replace("-", MINUS)
    return ("0.0" if float(f"{value:.{digits}f}") == 0 else text) + " %"


def _tick(fraction: float) -> str:
    text = f"{100 * fraction:+.0f} %".replace("-", MINUS)
    return "0 %" if text[1:] == "0 %" else text


def log_ratio(fraction: float) -> float:
    """log2(1 + BD-rate): -50 % and +100 % are equally far from 0, a factor of two either way.

    Raises MeasurementError for a fraction of -1 or below, which no rate ratio can be.
    """
    if fraction <= -1:
        raise MeasurementError(f"a BD-rate of {fraction} would be a rate of zero or less")
    return math.log2(1 + fraction)


def _dark(mapped: Any) -> bool:
    return bool(0.2126 * mapped[0] + 0.7152 * mapped[1] + 0.0722 * mapped[2] < 0.5)


def _empty_cell(axes: Axes, x: int, y: int, text: str) -> None:
    axes.add_patch(
        Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="white", edgecolor="#b4b7ba", hatch="////",
                  linewidth=0)
    )  # fmt: skip
    axes.text(
        x, y, text, ha="center", va="center", fontsize=7.5, color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2},
    )  # fmt: skip


def _value_cell(axes: Axes, x: int, y: int, row: pd.Series, far: float) -> None:
    mapped = BD_MAP(0.5 + 0.5 * log_ratio(float(row["bd_rate"])) / far)
    ink = "white" if _dark(mapped) else "black"
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=mapped, linewidth=0))
    words = percent(float(row["bd_rate"])) + ("*" if _noted(row) else "")
    interval = math.isfinite(row["lo"]) and math.isfinite(row["hi"])
    axes.text(
        x, y - (0.13 if interval else 0), words, ha="center", va="center",
        color=ink, fontsize=8.5, fontweight="bold",
    )  # fmt: skip
    if interval:
        low, high = (percent(float(row[end])).removesuffix(" %") for end in ("lo", "hi"))
        axes.text(
            x, y + 0.24, f"{low} to {high}", ha="center", va="center", color=ink, fontsize=5.8
        )


def _reach(values: Sequence[float]) -> float:
    """Half the range of the colour scale in log2: largest value, from factor 1.33 to factor 4."""
    return min(max([abs(log_ratio(value)) for value in values] + [math.log2(4 / 3)]), 2.0)


def _colour_bar(figure: Figure, axes: Axes, far: float, rows: int) -> None:
    mappable = ScalarMappable(Normalize(-far, far), BD_MAP)
    bar = figure.colorbar(mappable, ax=axes, fraction=0.15, aspect=7 * _CELL[1] * rows, pad=0.02)
    ticks = [log_ratio(tick) for tick in _TICKS if abs(log_ratio(tick)) <= far + 1e-9]
    bar.locator = FixedLocator(ticks)
    bar.formatter = FuncFormatter(lambda v, _: _tick(2**v - 1))
    bar.update_ticks()
    bar.outline.set_visible(False)
    bar.set_label("more bits than the anchor →" if rows > 4 else "more bits →", fontsize=7.5)


def _noted(row: pd.Series) -> bool:
    return isinstance(row["note"], str) and row["note"] != ""


def _reason(row: pd.Series) -> str:
    if _noted(row):
        return str(row["note"]).rstrip(".")
    return f"the curves overlap by {100 * row['overlap']:.0f}\u00a0% only"


def _listed(rows: pd.DataFrame, labels: dict[str, str]) -> str:
    """`mpd: few points; webp (PSNR, GMSD): …`: who shares a reason, in sorted order."""
    found: dict[tuple[str, str], list[str]] = {}
    for _, row in rows.sort_values("family", kind="stable").iterrows():
        found.setdefault((_reason(row), row["family"]), []).append(labels[row["metric"]])
    reasons: dict[str, list[str]] = {}
    for (why, family), names in found.items():
        which = "" if len(names) == len(labels) else f" ({', '.join(names)})"
        reasons.setdefault(why, []).append(f"{family}{which}")
    return "; ".join(f"{', '.join(cells)}: {why}" for why, cells in sorted(reasons.items()))


def bd_note(rows: pd.DataFrame, anchor: str, labels: dict[str, str]) -> str:
    """Caption: how to read the cells, and why each empty one is empty."""
    text = (
        f"BD-rate: average change of the rate at equal quality against {anchor}; negative (dark) "
        "saves bits. Small: 95\u00a0% bootstrap interval over images."
    )
    empty = rows[rows["bd_rate"].isna()]
    noted = rows[rows["bd_rate"].notna() & rows.apply(_noted, axis=1).astype(bool)]
    if len(noted):
        text += f" *{_listed(noted, labels)}."
    if len(empty):
        text += f" No number (n/a): {_listed(empty, labels)}."
    return text


def _ranked(rows: pd.DataFrame, metric: str) -> list[str]:
    """Codec entries from the best on the first metric to the worst; without a value last."""
    first = rows[rows["metric"] == metric].set_index("family")["bd_rate"].dropna()
    ranked = sorted(first.index, key=lambda name: (first[name], name))
    return ranked + sorted(set(rows["family"]) - set(ranked))


def _cells(
    axes: Axes, rows: pd.DataFrame, families: list[str], metrics: list[str], far: float
) -> None:
    """Fill the grid, best codec entry on top, with white lines between the cells."""
    cells = {(row["family"], row["metric"]): row for _, row in rows.iterrows()}
    for y, family in enumerate(families):
        for x, metric in enumerate(metrics):
            row = cells.get((family, metric))
            if row is None or not math.isfinite(row["bd_rate"]):
                _empty_cell(axes, x, y, "—" if row is None else "n/a")
            else:
                _value_cell(axes, x, y, row, far)
    axes.set(xlim=(-0.5, len(metrics) - 0.5), ylim=(len(families) - 0.5, -0.5))
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.grid(False)
    for edge in axes.spines.values():
        edge.set_visible(False)
    for x in range(1, len(metrics)):
        axes.axvline(x - 0.5, color="white", linewidth=1.2)
    for y in range(1, len(families)):
        axes.axhline(y - 0.5, color="white", linewidth=1.2)


def bd_heatmap(
    bd_rate: pd.DataFrame, dataset: str, anchor: str, metrics: Sequence[MetricInfo] = ()
) -> Figure:
    """Draw BD-rates of a data set against an anchor, a row per codec entry, a column per metric.

    Args:
        bd_rate: the table: `dataset, family, anchor, metric, bd_rate, lo, hi, overlap, note`;
            fractions, nan where there is none.
        metrics: order and titles of the columns; without them, the table's own names, sorted.

    Raises:
        MeasurementError: two rows for one cell.

    Without rows for data set and anchor (no other codec, no image), a placeholder says so.
    """
    rows = bd_rate[(bd_rate["dataset"] == dataset) & (bd_rate["anchor"] == anchor)]
    rows = rows[rows["family"] != anchor]
    if rows.duplicated(["family", "metric"]).any():
        raise MeasurementError(f"BD-rate of {dataset!r}: a family and metric occur twice")
    labels = {m.name: m.title for m in metrics} or {n: n for n in sorted(set(rows["metric"]))}
    rows = rows[rows["metric"].isin(labels)]
    if rows.empty:
        return placeholder(
            f"BD-rate against {anchor}, {dataset}",
            f"no lossy codec other than {anchor} was measured, or no metric has a value.",
        )
    families = _ranked(rows, next(iter(labels)))
    heads = [textwrap.fill(title, 14) for title in labels.values()]
    lines = max(head.count("\n") + 1 for head in heads)
    size = (2.2 + max(len(labels), 4) * _CELL[0], 0.3 + 0.14 * lines + len(families) * _CELL[1])
    with theme():
        figure, (axes,) = grid(1, *size)
        far = _reach([float(value) for value in rows["bd_rate"].dropna()])
        _cells(axes, rows, families, list(labels), far)
        axes.set_xticks(range(len(labels)), heads)
        axes.set_yticks(range(len(families)), families, fontsize=8.5)
        _colour_bar(figure, axes, far, len(families))
        title = f"BD-rate against {anchor}, {dataset}"
        finish(figure, title, bd_note(rows, anchor, labels))
    return figure
