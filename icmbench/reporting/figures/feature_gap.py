"""Distance of features of reconstructions to those of originals, by depth, at matched rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icmbench.reporting.figures.axes import plain
from icmbench.reporting.figures.lossless import lossless
from icmbench.reporting.figures.matching import OVER, WITHIN
from icmbench.reporting.figures.panels import family_handles, finish, grid, label_panel
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.rate_panels import PANEL
from icmbench.reporting.figures.style import FamilyStyle, family_styles, theme
from icmbench.reporting.figures.task_curves import rows_of
from icmbench.reporting.figures.task_objects import chosen_rates, matched_points
from icmbench.reporting.statistics.bootstrap import MIN_IMAGES

NEEDED: Final = (
    "dataset", "task", "model", "codec", "family", "depth", "stage", "gap", "lo", "hi", "images",
    "failed", "bpp",
)  # fmt: skip


def feature_gap(
    table: pd.DataFrame, dataset: str, task: str, rates: Sequence[float] | None = None
) -> Figure:
    """Draw a panel per rate: mean 1 - cosine of every codec against the depth of the network.

    Args:
        table: `tables.feature_gap.COLUMNS`; its codec entries decide the styles.
        rates: bits per pixel, at most three; by default `shared_rates` decides.

    Returns:
        The figure; a placeholder where nothing was coded or the model gave no features.

    Raises MeasurementError as `rows_of`, and for more than three rates.
    """
    rows = rows_of(table, dataset, task, NEEDED, what="feature gaps", key="depth")
    title = f"Feature gap: {task}, {dataset}"
    if rows["gap"].isna().all():
        return placeholder(title, "no reconstruction has a gap; the log has the reasons.")
    points = rows.drop_duplicates(["codec", "family"])
    rates = chosen_rates(points, rates)
    if not rates:
        return placeholder(title, "no lossy codec has a point; see the failures.")
    matched = {rate: matched_points(points, rate) for rate in rates}
    if all(found.empty for found in matched.values()):
        return placeholder(title, "no lossy codec has a point near these rates.")
    styles = family_styles(table["family"])
    drawn = pd.concat(matched.values())
    shown = {name: styles[name] for name in sorted(set(drawn["family"]))}
    width = PANEL[0] * (1.3 if len(rates) == 1 else 1)
    high = _at(rows, drawn)[["gap", "hi"]].to_numpy(float)
    limit = 1.06 * float(np.nanmax(np.append(high, 0.0))) or 1.0
    with theme():
        figure, panels = grid(len(rates), width, PANEL[1])
        for axes, rate in zip(panels, rates, strict=True):
            _panel(axes, _at(rows, matched[rate]), styles)
            axes.set_ylim(0, limit)
            label_panel(axes, f"at {plain(rate)} bpp", "lower is better ↓")
        finish(figure, title, _note(rows, matched), family_handles(shown))
    return figure


def _at(rows: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Rows of the chosen points, by codec entry and spec: two entries may share a codec spec."""
    return rows.merge(points[["family", "codec"]].drop_duplicates(), on=["family", "codec"])


def _panel(axes: Axes, rows: pd.DataFrame, styles: Mapping[str, FamilyStyle]) -> None:
    axes.set_ylabel("1 \u2212 cosine")
    stages = rows.drop_duplicates("depth").sort_values("depth")
    axes.set_xlabel("depth (from the input on)")
    names = [str(name).replace(" ", "\n") for name in stages["stage"]]
    axes.set_xticks(stages["depth"].to_numpy(), names)
    axes.grid(False, axis="x")
    for family, part in rows.groupby("family", sort=True):
        style = styles[str(family)]
        part = part.sort_values("depth")
        depth, value, low, high = (part[n].to_numpy(float) for n in ("depth", "gap", "lo", "hi"))
        axes.fill_between(depth, low, high, color=style.colour, alpha=0.13, linewidth=0, zorder=1)
        axes.plot(depth, value, **style.line, **style.marks, zorder=3, label=str(family))


def _note(rows: pd.DataFrame, matched: Mapping[float, pd.DataFrame]) -> str:
    """Note: definition of the gap, number of images, and the operating points at each rate."""
    images = int(rows["images"].max())
    band = "shaded: 95\u00a0% bootstrap interval over images"
    if images < MIN_IMAGES:
        band = f"no intervals below {MIN_IMAGES} images"
    text = (
        f"Model: {rows['model'].iloc[0]}. 1 \u2212 cosine between the feature vectors of original "
        "and reconstruction, 0 where they are equal: mean over positions, then over "
        f"{images} image{'' if images == 1 else 's'}; {band}. At a rate stands each codec's "
        f"operating point whose mean rate is nearest, from {WITHIN:g} times below to {OVER:g} "
        "times above."
    )
    for rate, points in matched.items():
        pairs = zip(points["family"], points["bpp"], strict=True)
        listed = ", ".join(f"{family} {plain(float(f'{bpp:.2g}'))}" for family, bpp in pairs)
        text += f" At {plain(rate)} bpp: {listed or 'none'}."
    if names := ", ".join(sorted(set(rows.loc[lossless(rows), "family"]))):
        text += f" The lossless reference ({names}) is left out."
    return text
