"""t-SNE maps of points by class, before and after learning, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.label_maps import CLASS_COLOURS, OTHER, frequent, short_name
from icmbench.reporting.figures.panels import finish, grid
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.style import INK, theme

Floats = NDArray[np.floating[Any]]
PERPLEXITY: Final = 30.0
LEAST: Final = 10  # points: fewer have no neighbourhood to keep
_MARKERS = "osD^v<>PXphd"
_PANEL = (3.7, 3.7)
_NAME = 40  # characters of a class name in the legend
_NOTE = (
    "t-SNE keeps neighbourhoods: distances between groups, their areas and both axes have no "
    "unit and no meaning, and the maps have axes of their own. Every point is in all maps."
)


def tsne(features: Floats, seed: int) -> NDArray[np.float32]:
    """Map features to the plane: van der Maaten and Hinton, JMLR 2008 (scikit-learn).

    Perplexity 30, or a third of the other points if they are fewer; started from the first two
    principal components. One thread, so that equal seeds give equal maps on one machine.

    Args:
        features: float (n, d), n >= `LEAST`.

    Returns:
        float32 (n, 2).

    Raises:
        MeasurementError: too few points, values that are not finite, or all points equal.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    points = np.asarray(features, np.float32)
    if points.ndim != 2 or len(points) < LEAST or not points.shape[1]:
        raise MeasurementError(f"t-SNE needs {LEAST} points (n, d) or more, not {points.shape}")
    if not np.isfinite(points).all():
        raise MeasurementError("t-SNE: a feature is not finite")
    if (points == points[0]).all():
        raise MeasurementError("t-SNE: all points are equal")
    if points.shape[1] == 1:  # two principal components are needed to start from
        points = np.pad(points, ((0, 0), (0, 1)))
    model = TSNE(
        init="pca",
        learning_rate="auto",
        perplexity=min(PERPLEXITY, (len(points) - 1) / 3),
        random_state=seed % 2**32,
        n_jobs=1,
    )
    with threadpool_limits(1):
        return np.asarray(model.fit_transform(points), np.float32)


def embedding_figure(
    points: Mapping[str, Floats], classes: NDArray[np.integer[Any]], names: Sequence[str],
    title: str,
) -> Figure:  # fmt: skip
    """Draw one map per entry of `points`, classes by colour and marker, with one legend.

    Of more classes than there are looks (12) the most frequent have their own; the others are
    grey dots.

    Args:
        points: what was mapped (say "raw latents") -> float (n, 2), same points in all.
        classes: int (n,), indices into `names`.

    Returns:
        The figure; a placeholder where there is no point or no map.

    Raises:
        MeasurementError: maps and classes that do not belong together.
    """
    if not points or not len(classes):
        return placeholder(title, "there is no point to map.")
    _check(points, classes, names)
    shown = sorted(frequent(classes))
    rest = len(np.unique(classes)) - len(shown)
    with theme():
        figure, panels = grid(len(points), *_PANEL, columns=2)
        for axes, (name, places) in zip(panels, points.items(), strict=True):
            _scatter(axes, np.asarray(places, np.float64), classes, shown)
            axes.set_title(name, loc="left")
        handles = panels[0].get_legend_handles_labels()[0]
        if rest:  # the others are drawn first and named last
            handles.append(handles.pop(0))
        labels = [short_name(names[label], _NAME) for label in shown]
        labels += [f"{rest} other classes"] * (rest > 0)
        style = {"handlelength": 1.0, "columnspacing": 1.4, "markerscale": 1.5}
        finish(figure, title, f"{len(classes):,} points. {_NOTE}", handles, labels=labels, **style)
    return figure


def _check(
    points: Mapping[str, Floats], classes: NDArray[np.integer[Any]], names: Sequence[str]
) -> None:
    if classes.ndim != 1 or not np.issubdtype(classes.dtype, np.integer):
        raise MeasurementError(f"classes are int (n,), not {classes.dtype} {classes.shape}")
    if classes.min() < 0 or classes.max() >= len(names):
        raise MeasurementError(f"classes {classes.min()} ... {classes.max()}, {len(names)} names")
    for name, places in points.items():
        if places.shape != (len(classes), 2) or not np.isfinite(places).all():
            raise MeasurementError(
                f"{name}: {len(classes)} finite points (n, 2) expected, not {places.shape}"
            )


def _scatter(
    axes: Axes, places: NDArray[np.float64], classes: NDArray[np.integer[Any]], shown: list[int]
) -> None:
    size = float(np.clip(10000 / len(places), 7, 26))
    others = ~np.isin(classes, shown)
    if others.any():
        x, y = places[others].T
        axes.scatter(x, y, s=size, c=OTHER, marker=".", linewidths=0, label="other")
    for slot, label in enumerate(shown):
        x, y = places[classes == label].T
        axes.scatter(
            x, y, s=size, c=CLASS_COLOURS[slot], marker=_MARKERS[slot],
            edgecolors=INK, linewidths=0.2, label=str(label),
        )  # fmt: skip
    low, high = places.min(0), places.max(0)
    half = 0.54 * max(float((high - low).max()), 1e-6)
    middle = (low + high) / 2
    axes.set(
        xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half),
        xticks=[], yticks=[], xlabel="t-SNE 1 (no unit)", ylabel="t-SNE 2 (no unit)",
    )  # fmt: skip
    axes.set_aspect("equal", adjustable="box", anchor="W")
