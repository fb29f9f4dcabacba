"""Latent distortion and rate against the diffusion state (MPD): one falls, one rises as t -> 0."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icmbench.reporting.figures.axes import log_axis
from icmbench.reporting.figures.panels import finish, grid, label_panel
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.style import FamilyStyle, family_styles, theme
from icmbench.reporting.statistics.bootstrap import MIN_IMAGES
from icmbench.reporting.statistics.natural import natural_key

_PANEL = (4.0, 3.2)
_PANELS = {
    "latent_mse": ("Latent distortion", "mean squared error of zₜ (σ², log scale)"),
    "bpp": ("Rate", "bits per pixel of the file (log scale)"),
}


def curve_names(rows: pd.DataFrame) -> dict[tuple[str, str], str]:
    """(family, encoding) -> name of its curve: the codec entry where it has one encoding."""
    pairs = sorted(
        set(zip(rows["family"], rows["encoding"], strict=True)),
        key=lambda pair: (pair[0], natural_key(pair[1])),
    )
    families = [family for family, _ in pairs]
    return {(f, e): f if families.count(f) == 1 else e for f, e in pairs}


def states_figure(table: pd.DataFrame, dataset: str) -> Figure:
    """Draw `latent_mse` and `bpp` of a data set against the state, both on log axes.

    Args:
        table: of `reporting.states.states_table`.

    Where the data set has no row, a placeholder says so.
    """
    rows = table[table["dataset"] == dataset]
    title = f"Diffusion states, {dataset}"
    if rows.empty:
        return placeholder(title, "no image of this data set has an MPD stream that decodes.")
    names = curve_names(rows)
    styles = family_styles(names.values())
    with theme():
        figure, panels = grid(2, *_PANEL)
        for axes, column in zip(panels, _PANELS, strict=True):
            for (family, encoding), name in names.items():
                part = rows[(rows["family"] == family) & (rows["encoding"] == encoding)]
                _curve(axes, part.sort_values("state"), column, styles[name], name)
            _frame(axes, rows, column, entries=len(names) == 1)
        handles = panels[0].get_legend_handles_labels()[0] if len(names) > 1 else ()
        finish(figure, title, _note(rows), handles)
    return figure


def _note(rows: pd.DataFrame) -> str:
    low, high = int(rows["images"].min()), int(rows["images"].max())
    count = f"{low}" if low == high else f"{low} to {high}"
    band = f"; bands: 95\u00a0% bootstrap interval over images (from {MIN_IMAGES} on)"
    return (
        f"Means over {count} image{'s' * (high != 1)}{band}. Distortion: z\u209c, every cell "
        "replaced by its palette entry, against the image's latent, in squared standard "
        "deviations. Rate: bytes of the file cut at the state, header included, over original "
        "pixels."
    )


def _curve(axes: Axes, part: pd.DataFrame, column: str, style: FamilyStyle, name: str) -> None:
    state, value = part["state"].to_numpy(float), part[column].to_numpy(float)
    low, high = (part[f"{column}_{end}"].to_numpy(float) for end in ("lo", "hi"))
    axes.fill_between(state, low, high, color=style.colour, alpha=0.2, linewidth=0)
    axes.plot(state, value, **style.line, **style.marks, label=name)


def _frame(axes: Axes, rows: pd.DataFrame, column: str, *, entries: bool) -> None:
    title, label = _PANELS[column]
    label_panel(axes, title, "lower is better ↓")
    ends = [rows[name] for name in (column, f"{column}_lo", f"{column}_hi")]
    values = pd.concat(ends).to_numpy(float)
    log_axis(axes, "y", values[np.isfinite(values)])
    axes.set_ylabel(label)
    states = sorted(set(rows["state"]), reverse=True)
    counts = rows.set_index("state")["entries"] if entries else None
    ticks = [f"{t}\n{counts[t]:.0f}" if counts is not None else str(t) for t in states]
    axes.set_xticks(states, ticks)
    axes.set_xlim(max(states) + 0.4, min(states) - 0.4)
    below = "\npalette entries (mean)" if entries else ""
    axes.set_xlabel(f"diffusion state t, finer →{below}")
