"""Figure of a training: the loss and its terms over the steps."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from icmbench.reporting.figures.axes import log_axis, plain
from icmbench.reporting.figures.panels import finish, grid, label_panel
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.style import theme

BLOCKS = 120  # points of a curve at most
_PANEL = (3.9, 2.7)
_LINE, _BAND = "#0072B2", "#b9d4e6"
_LOWER, _HIGHER = "lower is better ↓", "higher is better ↑"
_PANELS = {  # of a column: title, unit, direction
    "loss": ("Loss", "what is minimised", _LOWER),
    "error": ("Squared error", "mean square, scale \u22121 … 1", _LOWER),
    "nats": ("Information", "nats per latent cell", "rate of the latent"),
    "latent": ("Latent", "mean square, deviations of latent", _LOWER),
    "picture": ("Reconstruction", "mean square, scale \u22121 … 1", _LOWER),
    "structure": ("Structure", "1 \u2212 SSIM", _LOWER),
    "correct": ("Accuracy", "share of the batch", _HIGHER),
    "right": ("Accuracy", "share of the known tags", _HIGHER),
    "distance": ("Distance", "sides of the crop", _LOWER),
    "guide": ("Guided latent", "mean square, deviations of latent", _LOWER),
    "bits": ("Estimated bits", "per pixel, not of files", _LOWER),
    "noise": ("Predicted noise", "mean square", _LOWER),
    "semantic": ("Semantic consistency", "loss of U-Net features", _LOWER),
    "point": ("Rate", "its index", "drawn for every step"),
}


def blocks(history: pd.DataFrame, most: int = BLOCKS) -> pd.DataFrame:
    """Join successive steps into at most `most` blocks of equal length (the last may be shorter).

    Args:
        history: `step` and one column per loss, one row per step.

    Returns:
        `step` (middle of the block) and per loss its median and, as `<loss>_lo`, `<loss>_hi`, its
        10th and 90th percentile.
    """
    length = max(1, -(-len(history) // most))
    groups = history.groupby(np.arange(len(history)) // length)
    out = pd.DataFrame({"step": groups["step"].mean()})
    for name in history.columns.drop("step"):
        out[name] = groups[name].median()
        out[f"{name}_lo"] = groups[name].quantile(0.1)
        out[f"{name}_hi"] = groups[name].quantile(0.9)
    return out


def loss_curves(history: pd.DataFrame, network: str) -> Figure:
    """One panel per loss: median and 10-90 % range of blocks of steps.

    A loss that falls to a third or less is drawn on a logarithmic axis. Without steps the figure is
    a placeholder.
    """
    title = f"Training: {network}"
    if not len(history):
        return placeholder(title, "the network was not trained: 0 steps.")
    names = [str(name) for name in history.columns if name != "step"]
    rows = blocks(history)
    length = max(1, -(-len(history) // BLOCKS))
    each = f"Line: median of {length} steps each; band: their 10th to 90th percentile."
    note = each if length > 1 else "One point per step."
    with theme():
        figure, panels = grid(len(names), *_PANEL, columns=2)
        for axes, name in zip(panels, names, strict=True):
            _panel(axes, rows, name)
        finish(figure, f"{title}, {len(history)} steps", f"{note} Every step has other crops.")
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, name: str) -> None:
    title, unit, direction = _PANELS.get(name, (name.capitalize(), name, _direction(name)))
    low, high = rows[f"{name}_lo"], rows[f"{name}_hi"]
    axes.fill_between(rows["step"], low, high, color=_BAND, linewidth=0)
    axes.plot(rows["step"], rows[name], color=_LINE, linewidth=1.4)
    label_panel(axes, title, direction)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if direction == _LOWER and 0 < 3 * low.min() < high.max():
        log_axis(axes, "y", [*low, *high], most=6)
        unit += " (log)"
    else:
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_formatter(FuncFormatter(plain))
    axes.set_ylabel(unit)


def _direction(name: str) -> str:
    """Direction of a term of mmdet or mmseg: `decode.acc_seg` is an accuracy, `loss_cls` a loss."""
    return _HIGHER if name.rpartition(".")[2].startswith("acc") else _LOWER
