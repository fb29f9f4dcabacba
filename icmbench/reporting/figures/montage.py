"""Typical patches of the clusters of a level, a row per cluster (MPD, Fig. 4)."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.panels import EDGE
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.sheets import Pixels, Sheet
from icmbench.reporting.figures.style import MUTED, theme

MOST_CLUSTERS: Final = 12
MOST_PATCHES: Final = 10
_PATCH, _GAP, _LABEL = 0.66, 0.05, 1.6  # inches
_LEAST = 5.4  # patches and words are at least this wide, so that the heading fits
_LINE = 22  # characters of a row's title that fit beside it


def cluster_montage(
    patches_by_cluster: Sequence[Sequence[Pixels]],
    titles: Sequence[str],
    sizes: Sequence[int],
    *,
    title: str = "Typical patches of the clusters",
) -> Figure:
    """Draw a row per cluster, its most typical patches from left to right, and its size.

    Of more than `MOST_CLUSTERS` clusters the largest are drawn and the note counts the others.

    Args:
        patches_by_cluster: per cluster uint8 (s, s, 3), most typical first; the first
            `MOST_PATCHES` are drawn.
        titles: one per cluster.
        sizes: patches that each cluster holds, at least those that are shown.

    Returns:
        The figure; a placeholder where no cluster holds a patch.

    Raises:
        MeasurementError: another number of titles or sizes, or what is no patch.
    """
    _check(patches_by_cluster, titles, sizes)
    if not any(sizes):
        return placeholder(title, "no cluster holds a patch.")
    shown = sorted(range(len(titles)), key=lambda index: (-sizes[index], index))[:MOST_CLUSTERS]
    across = min(MOST_PATCHES, max(len(patches_by_cluster[index]) for index in shown))
    wide = max(_LEAST, 2 * EDGE + _LABEL + across * (_PATCH + _GAP))
    pitch = _PATCH + _GAP
    with theme():
        sheet = Sheet(wide, len(shown) * pitch, title, _note(sizes, shown))
        for row, index in enumerate(shown):
            top = sheet.top + row * pitch
            _words(sheet, top, titles[index], sizes[index], sum(sizes))
            for column, pixels in enumerate(patches_by_cluster[index][:across]):
                axes = sheet.axes(EDGE + _LABEL + column * pitch, top, _PATCH, _PATCH)
                axes.imshow(pixels, aspect="auto", interpolation="nearest")
                axes.set_axis_off()
    return sheet.figure


def _check(
    patches_by_cluster: Sequence[Sequence[Pixels]], titles: Sequence[str], sizes: Sequence[int]
) -> None:
    if not len(patches_by_cluster) == len(titles) == len(sizes):
        raise MeasurementError(
            f"{len(patches_by_cluster)} clusters, {len(titles)} titles and {len(sizes)} sizes"
        )
    for patches, name, size in zip(patches_by_cluster, titles, sizes, strict=True):
        if size < len(patches):
            raise MeasurementError(f"{name} holds {size} patches, but shows {len(patches)}")
        for pixels in patches:
            side = pixels.shape[0] if pixels.ndim else 0
            if pixels.dtype != np.uint8 or not side or pixels.shape != (side, side, 3):
                raise MeasurementError(
                    f"{name}: a patch is uint8 (s, s, 3), not {pixels.dtype} {pixels.shape}"
                )


def _note(sizes: Sequence[int], shown: Sequence[int]) -> str:
    total = sum(sizes)
    text = (
        "A row is a cluster, largest first, its most typical patch on the left; beside it how many "
        f"of the {total:,} patches it holds."
    )
    if len(shown) < len(sizes):
        rest = total - sum(sizes[index] for index in shown)
        text += (
            f" The {len(shown)} largest of {len(sizes)} clusters; the others hold {rest:,} patches "
            f"({100 * rest / total:.0f} %)."
        )
    return text


def _words(sheet: Sheet, top: float, name: str, size: int, total: int) -> None:
    """Title in at most two lines and size, centred beside the row."""
    lines = textwrap.wrap(name, _LINE, max_lines=2, placeholder=" …", break_long_words=True) or [""]
    middle = top + _PATCH / 2 - 0.075
    style = {"fontsize": 7.5, "fontweight": "bold", "linespacing": 1.15}
    sheet.text(EDGE, middle, "\n".join(lines), va="center", **style)
    share = f"{100 * size / total:.1f} %" if not 0 < size < total / 1000 else "<0.1 %"
    words = f"{size:,} patch{'es' * (size != 1)}, {share}"
    sheet.text(EDGE, middle + 0.065 * len(lines) + 0.02, words, fontsize=7, color=MUTED)
