"""Operating points and crops of a visual comparison, chosen by rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.lossless import lossless

OVER = 1.10
WITHIN = 1.5
Image = NDArray[np.uint8]


class Box(NamedTuple):
    """A square crop in pixels: left, top, side."""

    left: int
    top: int
    side: int


def _coded(measurements: pd.DataFrame, dataset: str, image: str) -> pd.DataFrame:
    chosen = (measurements["dataset"] == dataset) & (measurements["image"] == image)
    rows = measurements[chosen]
    return rows[~lossless(rows, by_metrics=False)]


def matched_rate(
    measurements: pd.DataFrame, dataset: str, image: str, target_bpp: float
) -> pd.DataFrame:
    """Choose, per codec entry, the spec whose rate **on this image** is nearest to the target.

    Nearest means the smallest ratio. A point may exceed the target by 10 % and fall short of it by
    a factor of 1.5; a codec entry without such a point has no row (`unmatched_families` names it).
    Ties go to the smaller rate, then to the first codec spec in order.

    Args:
        measurements: one row per image and codec spec: `dataset, image, family, codec, bpp,
            status`; rows whose status is not `ok` do not count.
        target_bpp: bits per pixel, positive.

    Returns:
        The chosen rows with all their columns, sorted by family, index from 0.

    Raises:
        MeasurementError: the target is not positive, or the image was never measured.
    """
    if not target_bpp > 0:
        raise MeasurementError(f"a target rate must be positive, not {target_bpp}")
    rows = _coded(measurements, dataset, image)
    if rows.empty:
        raise MeasurementError(f"no measurements of image {image!r} in {dataset!r}")
    # A hair of tolerance: 1.1 times a decimal target is rarely exact in binary.
    rows = rows[
        (rows["status"] == "ok")
        & (rows["bpp"] <= OVER * target_bpp * (1 + 1e-12))
        & (rows["bpp"] * WITHIN * (1 + 1e-12) >= target_bpp)
    ]
    distance = np.abs(np.log(rows["bpp"].to_numpy(float) / target_bpp)).round(12)
    rows = rows.assign(_distance=distance).sort_values(
        ["family", "_distance", "bpp", "codec"], kind="stable"
    )
    chosen: pd.DataFrame = rows.drop_duplicates("family").drop(columns="_distance")
    return chosen.reset_index(drop=True)


def unmatched_families(
    measurements: pd.DataFrame, chosen: pd.DataFrame, dataset: str, image: str
) -> list[str]:
    """The codec entries measured on this image that `matched_rate` left out, sorted."""
    return sorted(set(_coded(measurements, dataset, image)["family"]) - set(chosen["family"]))


def _window_sums(values: NDArray[np.int64], side: int, step: int) -> NDArray[np.int64]:
    """Sums over side x side windows whose corners lie every `step` pixels; shape (rows, columns).

    Integers throughout: the choice of a crop must not hang on a float's last bit.
    """
    table = np.zeros((values.shape[0] + 1, values.shape[1] + 1), dtype=np.int64)
    table[1:, 1:] = values.cumsum(0).cumsum(1)
    sums = table[side:, side:] - table[:-side, side:] - table[side:, :-side] + table[:-side, :-side]
    return np.asarray(sums[::step, ::step], dtype=np.int64)


def _detail(image: Image) -> NDArray[np.int64]:
    """Squared differences to the right and lower neighbour of the grey image; shape (H, W)."""
    grey = image.astype(np.int64).sum(axis=2)
    energy = np.zeros(grey.shape, dtype=np.int64)
    energy[:, :-1] += np.diff(grey, axis=1) ** 2
    energy[:-1, :] += np.diff(grey, axis=0) ** 2
    return energy


def _disagreement(images: Sequence[Image]) -> NDArray[np.int64]:
    """n^2 times the variance between n images, summed over channels; shape (H, W)."""
    total = np.zeros(images[0].shape, dtype=np.int64)
    square = np.zeros(images[0].shape, dtype=np.int64)
    for image in images:
        wide = image.astype(np.int64)
        total += wide
        square += wide * wide
    spread: NDArray[np.int64] = (len(images) * square - total * total).sum(axis=2)
    return spread


def choose_crops(original: Image, reconstructions: Sequence[Image], side: int = 64) -> list[Box]:
    """Two square crops: where the original has most detail, and where the codecs disagree most.

    Detail is gradient energy; disagreement is the variance between the reconstructions (with fewer
    than two of them, detail again). The second does not overlap the first if the image is large
    enough; the first of equal windows in reading order wins, so that the choice is reproducible.

    Args:
        original: uint8 (H, W, 3). Each reconstruction has the same shape.
        side: of a crop in pixels; smaller where the image is.

    Raises:
        MeasurementError: shapes differ.
    """
    if any(image.shape != original.shape for image in reconstructions):
        raise MeasurementError("reconstructions and original differ in size")
    side = min(side, *original.shape[:2])
    step = max(1, side // 8)
    detail = _window_sums(_detail(original), side, step)
    row, column = (int(i) for i in np.unravel_index(np.argmax(detail), detail.shape))
    first = Box(column * step, row * step, side)
    second_map = detail
    if len(reconstructions) > 1:
        second_map = _window_sums(_disagreement(reconstructions), side, step)
    tops, lefts = np.indices(second_map.shape) * step
    apart = (abs(tops - first.top) >= side) | (abs(lefts - first.left) >= side)
    if apart.any():
        second_map = np.where(apart, second_map, -1)
    row, column = (int(i) for i in np.unravel_index(np.argmax(second_map), second_map.shape))
    return [first, Box(column * step, row * step, side)]
