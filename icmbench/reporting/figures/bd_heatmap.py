"""BD-rate of every family against one anchor: families x metrics, annotated."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter

from icmbench.errors import MeasurementError
from icmbench.reporting.figures.axes import foot, heading, note_height, wrap_note
from icmbench.reporting.figures.style import INK, MetricInfo, theme

# Blue saves bits, yellow costs bits. Lightness rises all the way, so that a grey print keeps the
# order; a symmetric map would print +20 % and -20 % alike.
BD_MAP = LinearSegmentedColormap.from_list(
    "icmbench-bd", ["#123f7c", "#5f86b7", "#c3c5c6", "#eccb62", "#fff04d"]
)
_CELL = (0.98, 0.46)
_TICKS = (-0.75, -0.5, -0.25, 0.0, 1 / 3, 1.0, 3.0)


def percent(fraction: float) -> str:
    """`-0.231` as `−23.1 %`, `2.5` as `+250 %`: always signed, three digits at most."""
    value = 100 * fraction
    digits = 0 if abs(value) >= 99.95 else 1
    text = f"{value:+.{digits}f}".replace("-", "−")
    return ("0.0" if float(f"{value:.{digits}f}") == 0 else text) + " %"


def _tick(fraction: float) -> str:
    text = f"{100 * fraction:+.0f} %".replace("-", "−")
    return "0 %" if text[1:] == "0 %" else text


def log_ratio(fraction: float) -> float:
    """log2(1 + BD-rate): -50 % and +100 % are equally far from 0, a factor of two either way.

    Raises MeasurementError for a fraction of -1 or below, which no rate ratio can be.
    """
    if fraction <= -1:
        raise MeasurementError(f"a BD-rate of {fraction} would be a rate of zero or less")
    return math.log2(1 + fraction)


def _dark(mapped: tuple[float, float, float, float]) -> bool:
    return 0.2126 * mapped[0] + 0.7152 * mapped[1] + 0.0722 * mapped[2] < 0.5


def _empty_cell(axes: Axes, x: int, y: int, text: str) -> None:
    axes.add_patch(
        Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="white", edgecolor="#b4b7ba", hatch="////",
                  linewidth=0)
    )  # fmt: skip
    axes.text(
        x, y, text, ha="center", va="center", fontsize=7.5, color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2},
    )  # fmt: skip


def _value_cell(axes: Axes, x: int, y: int, row: pd.Series, colour: ScalarMappable) -> None:
    mapped = colour.to_rgba(log_ratio(float(row["bd_rate"])))
    ink = "white" if _dark(mapped) else "black"
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=mapped, linewidth=0))
    interval = math.isfinite(row["lo"]) and math.isfinite(row["hi"])
    axes.text(
        x, y - (0.13 if interval else 0), percent(float(row["bd_rate"])), ha="center", va="center",
        color=ink, fontsize=8.5, fontweight="bold",
    )  # fmt: skip
    if interval:
        low, high = (percent(float(row[end])).removesuffix(" %") for end in ("lo", "hi"))
        axes.text(
            x, y + 0.24, f"{low} to {high}", ha="center", va="center", color=ink, fontsize=5.8
        )


def _scale(values: Sequence[float]) -> ScalarMappable:
    """Colours centred on 0, wide enough for the values between a factor 1.33 and a factor 4."""
    far = max([abs(log_ratio(value)) for value in values] + [math.log2(4 / 3)])
    far = min(far, 2.0)
    return ScalarMappable(Normalize(-far, far), BD_MAP)


def _colour_bar(figure: Figure, axes: Axes, colour: ScalarMappable) -> None:
    width, tall = figure.get_size_inches()
    box = axes.get_position()
    slot = figure.add_axes((box.x1 + 0.16 / width, box.y0, 0.13 / width, box.height))
    bar = figure.colorbar(colour, cax=slot)
    limit = colour.norm.vmax or 1.0
    ticks = [log_ratio(tick) for tick in _TICKS if abs(log_ratio(tick)) <= limit + 1e-9]
    bar.locator = FixedLocator(ticks)
    bar.formatter = FuncFormatter(lambda v, _: _tick(2**v - 1))
    bar.update_ticks()
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.set_label("more bits than the anchor →" if tall > 3 else "more bits →", fontsize=7.5)


def _reason(row: pd.Series) -> str:
    if isinstance(row["note"], str) and row["note"]:
        return row["note"].rstrip(".")
    return f"the curves overlap by {row['overlap']:.0%} only"


def bd_note(rows: pd.DataFrame, anchor: str, labels: dict[str, str]) -> str:
    """Caption: how to read the cells, and why each empty one is empty."""
    text = (
        f"BD-rate: average change of the rate at equal quality against {anchor}; negative (dark) "
        "saves bits. Small: 95\u00a0% bootstrap interval over images."
    )
    reasons: dict[str, list[str]] = {}
    for family, part in rows.groupby("family", sort=True):
        empty = part[part["bd_rate"].isna()]
        for why, cells in empty.groupby(empty.apply(_reason, axis=1), sort=True):
            names = [labels.get(metric, metric) for metric in cells["metric"]]
            which = "" if len(names) == len(labels) else f" ({', '.join(names)})"
            reasons.setdefault(str(why), []).append(f"{family}{which}")
    if reasons:
        listed = "; ".join(f"{', '.join(cells)}: {why}" for why, cells in sorted(reasons.items()))
        text += f" No number (n/a): {listed}."
    return text


def _ranked(rows: pd.DataFrame, metric: str) -> list[str]:
    """Families from the best on the first metric to the worst; those without a number last."""
    first = rows[rows["metric"] == metric].set_index("family")["bd_rate"].dropna()
    ranked = sorted(first.index, key=lambda name: (first[name], name))
    return ranked + sorted(set(rows["family"]) - set(ranked))


def _cells(
    axes: Axes, rows: pd.DataFrame, families: list[str], metrics: list[str], colour: ScalarMappable
) -> None:
    """Fill the grid, best family on top, with white lines between the cells."""
    cells = {(row["family"], row["metric"]): row for _, row in rows.iterrows()}
    for y, family in enumerate(families):
        for x, metric in enumerate(metrics):
            row = cells.get((family, metric))
            if row is None or not math.isfinite(row["bd_rate"]):
                _empty_cell(axes, x, y, "—" if row is None else "n/a")
            else:
                _value_cell(axes, x, y, row, colour)
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
    bd: pd.DataFrame, dataset: str, anchor: str, metrics: Sequence[MetricInfo] = ()
) -> Figure:
    """Draw BD-rates of a data set against an anchor, one row per family, one column per metric.

    Args:
        bd: the table `bd_rate`: `dataset, family, anchor, metric, bd_rate, lo, hi, overlap, note`;
            fractions, nan where there is none.
        metrics: order and titles of the columns; without them, the table's own names, sorted.

    Raises:
        MeasurementError: no rows for data set and anchor, or two rows for one cell.
    """
    rows = bd[(bd["dataset"] == dataset) & (bd["anchor"] == anchor) & (bd["family"] != anchor)]
    if rows.empty:
        raise MeasurementError(f"no BD-rate of {dataset!r} against {anchor!r}")
    if rows.duplicated(["family", "metric"]).any():
        raise MeasurementError(f"BD-rate of {dataset!r}: a family and metric occur twice")
    labels = {m.name: m.title for m in metrics} or {n: n for n in sorted(set(rows["metric"]))}
    rows = rows[rows["metric"].isin(labels)]
    families = _ranked(rows, next(iter(labels)))
    width = 1.25 + max(len(labels), 4) * _CELL[0] + 1.1
    lines = wrap_note(bd_note(rows, anchor, labels), width)
    heads = [textwrap.fill(title, 14) for title in labels.values()]
    above = 0.55 + 0.14 * max(head.count("\n") + 1 for head in heads)
    below = 0.1 + note_height(lines)
    tall = above + len(families) * _CELL[1] + below
    with theme():
        figure = Figure(figsize=(width, tall))
        size = (len(labels) * _CELL[0] / width, len(families) * _CELL[1] / tall)
        axes = figure.add_axes((1.25 / width, below / tall, *size))
        colour = _scale([float(value) for value in rows["bd_rate"].dropna()])
        _cells(axes, rows, families, list(labels), colour)
        axes.set_xticks(range(len(labels)), heads)
        axes.set_yticks(range(len(families)), families, fontsize=8.5)
        heading(figure, f"BD-rate against {anchor}, {dataset}")
        _colour_bar(figure, axes, colour)
        foot(figure, lines)
    return figure
