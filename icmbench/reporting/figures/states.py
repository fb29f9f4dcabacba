"""Latent distortion and rate against the diffusion state (MPD): one falls, one rises as t -> 0."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icmbench.reporting.figures.axes import (
    foot,
    heading,
    log_axis,
    note_height,
    panel_grid,
    wrap_note,
)
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.style import MUTED, FamilyStyle, family_styles, theme
from icmbench.reporting.statistics.bootstrap import MIN_IMAGES
from icmbench.reporting.statistics.natural import natural_key

_PANEL = (4.0, 3.2)
_PANELS = {
    "latent_mse": ("Latent distortion", "mean squared error of zₜ (σ², log scale)"),
    "bpp": ("Rate", "bits per pixel of the file (log scale)"),
}


def curve_names(rows: pd.DataFrame) -> dict[tuple[str, str], str]:
    """(family, encoding) -> name of its curve: the family where it has one encoding."""
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
    lines = wrap_note(_note(rows), 2 * _PANEL[0])
    below = note_height(lines) + 0.3
    with theme():
        figure, panels = panel_grid(2, *_PANEL, below=below)
        for axes, column in zip(panels, _PANELS, strict=True):
            for (family, encoding), name in names.items():
                part = rows[(rows["family"] == family) & (rows["encoding"] == encoding)]
                _curve(axes, part.sort_values("state"), column, styles[name], name)
            _frame(axes, rows, column, entries=len(names) == 1)
        if len(names) > 1:
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(
                handles, labels, loc="upper center", ncol=4, handlelength=3.6,
                bbox_to_anchor=(0.5, (below + 0.02) / figure.get_size_inches()[1]),
            )  # fmt: skip
        heading(figure, title)
        foot(figure, lines)
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
    axes.plot(
        state, value, color=style.colour, linestyle=style.dash, linewidth=style.width,
        marker=style.marker, markersize=7 if style.marker in "*XP" else 4.6, label=name,
    )  # fmt: skip


def _frame(axes: Axes, rows: pd.DataFrame, column: str, *, entries: bool) -> None:
    title, label = _PANELS[column]
    axes.set_title(title, loc="left", pad=15)
    axes.text(
        0, 1.02, "lower is better ↓", transform=axes.transAxes, fontsize=7.5, color=MUTED,
        va="bottom",
    )  # fmt: skip
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
