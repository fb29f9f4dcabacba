"""Comparison set: the images and codec specs that averages and BD-rates are computed on.

An average over the images a codec managed to code flatters the codec that failed on the hard
ones. Codecs are therefore compared on the images that all of them coded, except that a codec
string that failed on too many images is taken out instead of emptying the comparison. Rate and all
metrics are averaged over the same images: one on which a metric has no finite value is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError
from icmbench.reporting.statistics.bootstrap import Floats
from icmbench.reporting.statistics.seeds import average_rows, seed_groups

KEYS = ("dataset", "image", "family", "codec")
REQUIRED = (*KEYS, "bytes", "width", "height", "bpp", "status")
MAX_FAILED = 0.25


class Point(NamedTuple):
    """One operating point: the configuration's entry and the codec spec."""

    family: str
    codec: str


@dataclass(frozen=True)
class Comparison:
    """Comparison set of one data set, with the reason for every image and point left out."""

    dataset: str
    images: tuple[str, ...]
    """Sorted: the images that every point outside `excluded` coded."""
    left_out: Mapping[str, tuple[Point, ...]]
    """Image left out -> the points that failed on it (points in `excluded` are not named)."""
    excluded: Mapping[Point, int]
    """Point whose averages are empty -> number of images it failed on."""
    undefined: Mapping[str, tuple[str, ...]]
    """Image that all coded, yet left out -> metrics undefined on it (too small, flat)."""
    infinite: Mapping[str, tuple[tuple[str, Point], ...]]
    """Image left out because a point is without loss on it but not in general -> metric, point."""


@dataclass(frozen=True)
class Grid:
    """The measurements of one data set as arrays over points and images, both sorted."""

    dataset: str
    points: tuple[Point, ...]
    images: tuple[str, ...]
    ok: NDArray[np.bool_]
    """(points, images): coded, decoded and measured."""
    values: Mapping[str, Floats]
    """Column -> (points, images), nan where not ok."""
    seeds: Mapping[Point, tuple[str, ...]] = field(default_factory=dict)
    """Point that is a mean over seeds -> codec specs of the seeds, the point's own first."""

    def specs(self, point: Point) -> tuple[str, ...]:
        """Codec specs that a point comprises: its own, or those of its seeds."""
        return self.seeds.get(point, (point.codec,))

    def families(self) -> dict[str, list[int]]:
        """Codec entry -> the numbers of its points."""
        found: dict[str, list[int]] = {}
        for number, point in enumerate(self.points):
            found.setdefault(point.family, []).append(number)
        return found

    def failed(self) -> list[int]:
        """Number of images without an ok row, by point."""
        return [int(count) for count in (~self.ok).sum(axis=1)]


def comparison_set(
    measurements: pd.DataFrame, max_failed: float, metrics: Iterable[str] = ()
) -> dict[str, Comparison]:
    """The images compared in every data set, those left out, and the points excluded.

    A point (codec entry and codec spec) that failed on more than the share `max_failed` of the
    images is excluded; the common set is the images that all other points coded. An image
    without a row counts as failed. Of these images two kinds are left out, for all points:

    - `undefined`: some of `metrics` has no value there (the image is too small, or flat). A metric
      without a value on all of the images leaves none out; nor does a point without any value.
    - `infinite`: a point has an infinite value there (it is without loss on a flat image), but not
      on more than half of the images. With one such value its mean would be infinite and its
      curve lose the point; a point infinite on most images is as good as lossless and stays so.

    Raises `MeasurementError` as `grids` does.
    """
    names = tuple(metrics)
    return {grid.dataset: compare(grid, max_failed, names) for grid in grids(measurements, names)}


def compare(grid: Grid, max_failed: float, metrics: Iterable[str] = ()) -> Comparison:
    """The comparison of one data set; see `comparison_set`. The grid holds all `metrics`."""
    if not 0 <= max_failed <= 1:
        raise MeasurementError(f"max_failed is a share of the images, not {max_failed}")
    failed = grid.failed()
    limit = max_failed * len(grid.images)
    # A point that coded nothing never shrinks the set, even where max_failed is 1.
    out = [count > limit or count == len(grid.images) for count in failed]
    left_out: dict[str, tuple[Point, ...]] = {}
    for column, image in enumerate(grid.images):
        culprits = [
            point
            for row, point in enumerate(grid.points)
            if not out[row] and not grid.ok[row, column]
        ]
        if culprits:
            left_out[image] = tuple(culprits)
    coded = [n for n, i in enumerate(grid.images) if i not in left_out and not all(out)]
    included = [row for row, is_out in enumerate(out) if not is_out]
    names = tuple(metrics)
    undefined = _undefined(grid, included, coded, names)
    defined = [n for n in coded if grid.images[n] not in undefined]
    infinite = _infinite(grid, included, defined, names)
    return Comparison(
        dataset=grid.dataset,
        images=tuple(grid.images[n] for n in defined if grid.images[n] not in infinite),
        left_out=left_out,
        excluded={
            point: count
            for point, count, is_out in zip(grid.points, failed, out, strict=True)
            if is_out
        },
        undefined=undefined,
        infinite=infinite,
    )


def _gaps(table: Floats) -> NDArray[np.bool_]:
    """(points, images) -> (images,): a point that has values elsewhere has none there."""
    missing = np.isnan(table)
    return np.asarray(missing[~missing.all(axis=1)].any(axis=0), dtype=np.bool_)


def _undefined(
    grid: Grid, included: list[int], images: list[int], metrics: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for metric in metrics:
        gaps = _gaps(grid.values[metric][np.ix_(included, images)])
        if not gaps.all():
            for number in np.flatnonzero(gaps):
                image = grid.images[images[number]]
                found[image] = (*found.get(image, ()), metric)
    return dict(sorted(found.items()))


def _infinite(
    grid: Grid, included: list[int], images: list[int], metrics: tuple[str, ...]
) -> dict[str, tuple[tuple[str, Point], ...]]:
    found: dict[str, tuple[tuple[str, Point], ...]] = {}
    for metric in metrics:
        table = np.isinf(grid.values[metric][np.ix_(included, images)])
        for row, flags in zip(included, table, strict=True):
            if 2 * flags.sum() <= len(images):
                for number in np.flatnonzero(flags):
                    image = grid.images[images[number]]
                    found[image] = (*found.get(image, ()), (metric, grid.points[row]))
    return dict(sorted(found.items()))


def restrict(grid: Grid, chosen: Comparison) -> Grid:
    """The grid on the compared images; excluded points keep their row, all nan.

    A point then has a column's value on all images or on none. Where leaving images out could not
    bring that about (a metric undefined for some point on every image), the column is all nan: no
    two points are averaged over different images.
    """
    compared = set(chosen.images)
    columns = [column for column, image in enumerate(grid.images) if image in compared]
    included = np.array([point not in chosen.excluded for point in grid.points], dtype=bool)
    values = {
        name: np.where(included[:, np.newaxis], table[:, columns], np.nan)
        for name, table in grid.values.items()
    }
    values = {n: np.where(_gaps(t).any(), np.nan, t) for n, t in values.items()}
    ok = grid.ok[:, columns] & included[:, np.newaxis]
    return replace(grid, images=chosen.images, ok=ok, values=values)


def grids(measurements: pd.DataFrame, metrics: Iterable[str]) -> list[Grid]:
    """One grid per data set, sorted, with the columns `bpp` and `metrics`.

    Points that differ in the seed of a stochastic decoder alone are one, with the mean over the
    seeds (see `seeds`); it failed on an image where one of them did.

    Raises `MeasurementError` if a column is missing, a key is empty, a row is there twice, or an
    ok row's `bpp` is not 8·bytes/(width·height) of a file of at least one byte.
    """
    names = ("bpp", *metrics)
    frame = _checked(measurements, names)
    found = []
    for dataset, part in frame.groupby("dataset", sort=True, observed=True):
        points = sorted({Point(*pair) for pair in zip(part["family"], part["codec"], strict=True)})
        images = sorted(set(part["image"]))
        row_of = {point: row for row, point in enumerate(points)}
        column_of = {image: column for column, image in enumerate(images)}
        good = part[part["status"] == "ok"]
        rows = [row_of[Point(*p)] for p in zip(good["family"], good["codec"], strict=True)]
        columns = [column_of[image] for image in good["image"]]
        ok = np.zeros((len(points), len(images)), dtype=bool)
        ok[rows, columns] = True
        values = {}
        for name in names:
            table = np.full(ok.shape, np.nan)
            table[rows, columns] = numbers(good[name])
            values[name] = table
        found.append(_average(Grid(str(dataset), tuple(points), tuple(images), ok, values)))
    return found


def _average(grid: Grid) -> Grid:
    """The grid with one point for those that differ in the seed of their decoder alone."""
    groups: dict[Point, tuple[str, ...]] = {}
    for family, numbers_of in grid.families().items():
        specs = [grid.points[number].codec for number in numbers_of]
        groups |= {Point(family, name): group for name, group in seed_groups(specs).items()}
    if len(groups) == len(grid.points):
        return grid
    row_of = {point: row for row, point in enumerate(grid.points)}
    points = sorted(groups)
    rows = [[row_of[Point(point.family, spec)] for spec in groups[point]] for point in points]
    ok, values = average_rows(rows, grid.ok, grid.values)
    seeds = {point: group for point, group in groups.items() if len(group) > 1}
    return Grid(grid.dataset, tuple(points), grid.images, ok, values, seeds)


def numbers(column: pd.Series) -> Floats:
    """A column as float64, nan where it is empty, whatever its dtype became in a concatenation."""
    array: Floats = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)
    return array


def _checked(measurements: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    missing = [n for n in (*REQUIRED, *names) if n not in measurements.columns]
    if missing:
        raise MeasurementError(f"measurements lack the columns {', '.join(sorted(set(missing)))}")
    if measurements[[*KEYS, "status"]].isna().any(axis=None):
        raise MeasurementError("a measurement has no dataset, image, family, codec or status")
    frame = measurements[list(dict.fromkeys((*REQUIRED, *names)))]
    frame = frame.astype(dict.fromkeys((*KEYS, "status"), object))
    twice = frame.duplicated(list(KEYS))
    if twice.any():
        first = frame.loc[twice, list(KEYS)].iloc[0]
        raise MeasurementError(f"measured twice: {', '.join(first)}")
    good = frame[frame["status"] == "ok"]
    size = numbers(good["width"]) * numbers(good["height"])
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = 8.0 * numbers(good["bytes"]) / size
    wrong = ~(np.isclose(numbers(good["bpp"]), expected, rtol=1e-6, atol=0.0) & (expected > 0))
    if wrong.any():
        first = good.loc[wrong, list(KEYS)].iloc[0]
        raise MeasurementError(f"bpp is not 8*bytes/(width*height): {', '.join(first)}")
    return frame


def _strings(points: Iterable[Point]) -> list[str]:
    """Codec specs, each once: two entries may have the same."""
    return list(dict.fromkeys(point.codec for point in points))


def describe(chosen: Mapping[str, Comparison]) -> dict[str, dict[str, object]]:
    """The comparison sets as JSON: images, those left out and why, and excluded points.

    By data set: `images`; `left_out`, image -> codec specs that failed on it; `excluded`, codec
    string -> images it failed on; `undefined`, image -> metrics; `infinite`, image -> pairs of
    metric and codec spec.
    """
    return {
        dataset: {
            "images": list(one.images),
            "left_out": {image: _strings(at) for image, at in one.left_out.items()},
            "excluded": {point.codec: count for point, count in one.excluded.items()},
            "undefined": {image: list(names) for image, names in one.undefined.items()},
            "infinite": {
                image: [list(p) for p in dict.fromkeys((m, point.codec) for m, point in at)]
                for image, at in one.infinite.items()
            },
        }
        for dataset, one in chosen.items()
    }
