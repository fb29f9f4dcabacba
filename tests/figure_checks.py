"""Checks of drawn figures."""

from __future__ import annotations

from matplotlib.figure import Figure


def words(figure: Figure) -> str:
    """All text of a figure, on one line."""
    texts = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        texts += [axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()]
        texts += [text.get_text() for text in axes.texts]
        texts += [label.get_text() for label in axes.get_xticklabels()]
    for legend in [*figure.legends, *(axes.get_legend() for axes in figure.axes)]:
        texts += [text.get_text() for text in legend.get_texts()] if legend else []
    return " ".join(texts).replace("\n", " ")


def assert_no_overlap(figure: Figure) -> None:
    """Texts, legends and axes lie inside of the figure, and apart from each other."""
    figure.canvas.draw()
    width, height = figure.bbox.size
    boxes = [text.get_window_extent() for text in figure.texts]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    boxes += [axes.get_tightbbox() for axes in figure.axes]
    for i, one in enumerate(boxes):
        assert one.x0 >= -1
        assert one.y0 >= -1
        assert one.x1 <= width + 1
        assert one.y1 <= height + 1
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])
