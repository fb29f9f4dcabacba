"""Figure of robustness: PSNR of damaged streams that were decoded, and share of refused ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from icmbench.evaluation.damage import BEST_EFFORT, DAMAGES, NONE
from icmbench.reporting.figures.axes import plain
from icmbench.reporting.figures.panels import finish, grid, label_panel
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.style import INK, MUTED, FamilyStyle, family_styles, theme
from icmbench.reporting.statistics.natural import natural_key

_PANEL = 2.55  # inches
_COUNTS = (0.85, 1.3)  # inches right of a panel: the share refused; and what crashed or hung
_ROW = 0.34
_NOTE = (
    "One dot per damaged stream that was decoded to the original's size; hollow where the "
    "reconstruction equals that of the undamaged stream. Vertical marks: undamaged streams, one "
    "per image. Right: the share of refused streams (an error is better than a wrong image); below "
    "it crashes and time limits, if any."
)
_EFFORT_NOTE = (
    " Best effort: sections before the damage are decoded where the strict decoder refuses the "
    "stream; a coarser state is then the intended result, not an error."
)
_Row = tuple[str, str]  # codec spec, BEST_EFFORT or ""


def robustness_figure(trials: pd.DataFrame, dataset: str) -> Figure:
    """Draw PSNR after damage: a panel per kind of damage, a row per codec spec.

    Infinite PSNR (a lossless codec, decoded correctly) has a separate column. Without trials the
    figure is a placeholder.

    Args:
        trials: rows as of `coding.robustness.damage_trials`; only those of `dataset` are drawn.
    """
    part = trials[trials["dataset"] == dataset]
    if (part["damage"] == NONE).all():
        text = "no stream of this data set was damaged: no trials, or nothing decoded undamaged."
        return placeholder(f"Damaged streams, {dataset}", text)
    styles = family_styles(trials["family"])
    rows = _rows(part)
    most = part[part["damage"] != NONE].groupby(["codec", "image", "damage"]).size().max()
    effort = any(way for _, way in rows)
    beside = 0.068 * max(len(_label(row)) for row in rows)
    width = _PANEL + _COUNTS[bool(part["outcome"].isin(["crashed", "hung"]).any())]
    count = part["image"].nunique()
    scope = f"{count} image{'s' * (count != 1)}, up to {most} streams each in a row of a panel. "
    ends = _ends(part["psnr"])
    with theme():
        count = len(DAMAGES)
        figure, panels = grid(count, width, 1.0 + _ROW * len(rows), columns=count, beside=beside)
        for index, (axes, damage) in enumerate(zip(panels, DAMAGES, strict=True)):
            for y, row in enumerate(rows):
                _draw(axes, y, row, part, damage, styles, ends)
            _frame(axes, damage, rows, ends, labels=index == 0)
        note = scope + _NOTE + _EFFORT_NOTE * effort
        finish(figure, f"Damaged streams, {dataset}", note)
    return figure


def _rows(part: pd.DataFrame) -> list[_Row]:
    """Codec specs in order; those that salvage have a second row."""
    rows = []
    for codec in sorted(set(part["codec"]), key=natural_key):
        kinds = part.loc[part["codec"] == codec, "damage"]
        rows.append((codec, ""))
        if kinds.str.endswith(BEST_EFFORT).any():
            rows.append((codec, BEST_EFFORT))
    return rows


def _label(row: _Row) -> str:
    return row[0].partition(":")[0] + row[1] if row[1] else row[0]


def _ends(psnr: pd.Series) -> tuple[float, float, float]:
    """Left and right end of the finite values, and where infinite ones stand (nan: no such)."""
    known = psnr.dropna().to_numpy(float)
    finite = known[np.isfinite(known)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (10.0, 50.0)
    pad = 0.05 * max(high - low, 10.0)
    infinite = high + 4 * pad if np.isinf(known).any() else math.nan
    return low - pad, high + pad, infinite


def _draw(
    axes: Axes,
    y: int,
    row: _Row,
    part: pd.DataFrame,
    damage: str,
    styles: Mapping[str, FamilyStyle],
    ends: tuple[float, float, float],
) -> None:
    """Dots, undamaged marks and counts of one codec spec in one panel."""
    own = part[part["codec"] == row[0]]
    style = styles[str(own["family"].iloc[0])]
    whole = own[own["damage"] == NONE]["psnr"].dropna()
    axes.vlines(_places(whole, ends), y - 0.4, y + 0.4, color=INK, linewidth=0.9, zorder=2)
    chosen = own[own["damage"] == damage + row[1]]
    for outcome, face in (("decoded_wrong", style.colour), ("decoded_right", "none")):
        shown = chosen[(chosen["outcome"] == outcome) & chosen["psnr"].notna()]
        values = _places(shown["psnr"], ends)
        # The golden ratio spreads equal values evenly over the row, the same way every time.
        spread = (np.arange(len(values)) * 0.6180339887 % 1 - 0.5) * 0.62
        axes.scatter(
            values, y + spread, s=11, facecolors=face, edgecolors=style.colour, linewidths=0.6,
            alpha=0.75, zorder=3, clip_on=False,
        )  # fmt: skip
    text, bad = _counts(chosen["outcome"])
    axes.text(
        1.03, y - (0.17 if bad else 0), text, transform=axes.get_yaxis_transform(), va="center",
        fontsize=7.5,
    )  # fmt: skip
    axes.text(
        1.03, y + 0.22, bad, transform=axes.get_yaxis_transform(), va="center", fontsize=6.2,
        fontweight="bold",
    )  # fmt: skip


def _places(psnr: pd.Series, ends: tuple[float, float, float]) -> np.ndarray:
    values = psnr.to_numpy(float)
    return np.where(np.isinf(values), ends[2], values)


def _counts(outcomes: pd.Series) -> tuple[str, str]:
    """`97 %` refused, and `2 crashed, 1 hung` where that happened."""
    if outcomes.empty:
        return "no trials", ""
    counts = outcomes.value_counts()
    share = 100 * int(counts.get("refused", 0)) / len(outcomes)
    bad = [f"{counts[name]} {name}" for name in ("crashed", "hung") if name in counts]
    # 99.6 % is not all, 0.4 % not nothing.
    whole = min(max(round(share), math.ceil(min(share, 1))), 99 if share < 100 else 100)
    return f"{whole} %", ", ".join(bad)


def _frame(
    axes: Axes, damage: str, rows: Sequence[_Row], ends: tuple[float, float, float], *, labels: bool
) -> None:
    low, high, infinite = ends
    right = high if math.isnan(infinite) else infinite + (infinite - high) / 2
    axes.set(xlim=(low, right), ylim=(len(rows) - 0.5, -0.5))
    ticks = [
        tick
        for tick in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)
        if low <= tick <= high
    ]
    names = [plain(tick) for tick in ticks]
    if not math.isnan(infinite):
        axes.axvline((high + infinite) / 2, color="#8a8d91", linewidth=0.8, linestyle=(0, (2, 2)))
        ticks, names = [*ticks, infinite], [*names, "∞"]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.set_xticklabels(names)
    axes.set_yticks(range(len(rows)), [_label(row) if labels else "" for row in rows])
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.grid(False, axis="y")
    for y in range(1, len(rows)):
        axes.axhline(y - 0.5, color="#e3e5e8", linewidth=0.6)
    label_panel(axes, damage, "higher is better ↑")
    axes.text(
        1.03, 1.02, "refused", transform=axes.transAxes, fontsize=7.5, color=MUTED, va="bottom"
    )
    axes.set_xlabel("PSNR after damage (dB)")
