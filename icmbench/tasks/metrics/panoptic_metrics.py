"""Panoptic quality (Kirillov et al. 2019, section 4; COCO's rules for regions without a verdict).

A predicted and a true segment of one category match at an IoU above 0.5, so that no segment matches
two. PQ of a category is the sum of the IoUs of its matches over TP + FP/2 + FN/2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from icmbench.core.errors import MeasurementError, TaskError
from icmbench.tasks.metrics.score import Score

if TYPE_CHECKING:
    from icmbench.tasks.answers.panoptic import Segments

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

MATCHED: Final = 0.5  # IoU above which segments match; share above which a false one is no verdict
INSTANCES: Final = 1000  # segments of a category in an image, at most


@dataclass(frozen=True)
class PanopticCounts:
    """Statistics of one codec spec, (images, categories) each: sum of IoUs, TP, FP, FN."""

    overlap: Floats
    found: Counts
    false: Counts
    missed: Counts


class PanopticEvaluator:
    """Judges panoptic segments of the images of a data set against its own."""

    metrics: ClassVar[Mapping[str, Score]] = {
        "pq": Score("PQ", True),
        "sq": Score("SQ", True),
        "rq": Score("RQ", True),
        "pq_things": Score("PQ of things", True),
        "pq_stuff": Score("PQ of stuff", True),
    }

    def __init__(self, images: Sequence[str], truth: Mapping[str, Any]) -> None:
        """`truth` as `icmbench.datasets.coco_more.read_panoptic` gives it.

        Maps are read when predictions are counted. TaskError naming an image without a map.
        """
        for image in images:
            if image not in truth["images"]:
                raise TaskError(f"image {image!r} has no panoptic map")
        self.images = list(images)
        self._truth = truth["images"]
        categories = sorted(truth["categories"], key=lambda category: category["id"])
        self._column = {category["id"]: n for n, category in enumerate(categories)}
        self._things = np.array([bool(category["isthing"]) for category in categories])

    def count(self, predictions: Mapping[str, Segments]) -> PanopticCounts:
        """Match the segments of every image.

        Raises MeasurementError where an image has no prediction; TaskError naming the file where a
        map is missing, damaged, of another size than the prediction or holds an unknown segment,
        and naming the image where a prediction holds an unknown category.
        """
        shape = (len(self.images), len(self._column))
        counts = PanopticCounts(np.zeros(shape), *(np.zeros(shape, np.int64) for _ in range(3)))
        for row, image in enumerate(self.images):
            if image not in predictions:
                raise MeasurementError(f"image {image!r} has no prediction")
            self._match(row, image, predictions[image].map, counts)
        return counts

    def values(self, counts: PanopticCounts, weights: Counts) -> dict[str, Floats]:
        """The metrics where image i counts `weights[r, i]` times, float64 (R,) each.

        `pq`: mean over the categories that a draw shows, in truth or predictions; `sq`: of the mean
        IoU of matches, 0 without a match; `rq`: of TP / (TP + FP/2 + FN/2). nan without a category.
        """
        if weights.ndim != 2 or weights.shape[1] != len(self.images):
            raise ValueError(f"weights {weights.shape} for {len(self.images)} images")
        overlap = weights @ counts.overlap
        found = (weights @ counts.found).astype(np.float64)
        total = found + (weights @ counts.false + weights @ counts.missed) / 2
        shown = total > 0
        pq, rq = (_quotient(above, total) for above in (overlap, found))
        every = np.ones_like(self._things)
        return {
            "pq": _mean(pq, shown & every),
            "sq": _mean(_quotient(overlap, found), shown & every),
            "rq": _mean(rq, shown & every),
            "pq_things": _mean(pq, shown & self._things),
            "pq_stuff": _mean(pq, shown & ~self._things),
        }

    def _match(
        self, row: int, image: str, predicted: NDArray[np.int32], counts: PanopticCounts
    ) -> None:
        true = _read_map(Path(self._truth[image]["file"]), predicted.shape)
        segments = {each["id"]: each for each in self._truth[image]["segments"]}
        pairs, areas = np.unique(
            np.stack([true.ravel(), predicted.ravel()]), axis=1, return_counts=True
        )
        shared = {(int(t), int(p)): int(n) for (t, p), n in zip(pairs.T, areas, strict=True)}
        area = _sums(shared, 0), _sums(shared, 1)
        column = {p: self._category(image, p) for p in area[1] if p}
        if strange := {*area[0]} - {0, *segments}:
            file = self._truth[image]["file"]
            raise TaskError(f"{file}: holds the segment {min(strange)}, which is not listed")
        matched: set[tuple[int, int]] = set()
        for (t, p), overlap in shared.items():
            one = segments.get(t)
            if one is None or not p or one["iscrowd"]:
                continue
            if self._column[one["category_id"]] != column[p]:
                continue
            union = area[0][t] + area[1][p] - overlap - shared.get((0, p), 0)
            if overlap / union > MATCHED:
                counts.overlap[row, column[p]] += overlap / union
                counts.found[row, column[p]] += 1
                matched |= {(0, t), (1, p)}
        for t, one in segments.items():
            if t in area[0] and not one["iscrowd"] and (0, t) not in matched:
                counts.missed[row, self._column[one["category_id"]]] += 1
        for p, place in column.items():
            if (1, p) not in matched:
                # Mostly outside of what is annotated, or in a crowd of its category: no verdict.
                beside = shared.get((0, p), 0) + sum(
                    shared.get((t, p), 0)
                    for t, one in segments.items()
                    if one["iscrowd"] and self._column[one["category_id"]] == place
                )
                counts.false[row, place] += beside / area[1][p] <= MATCHED

    def _category(self, image: str, segment: int) -> int:
        number = segment // INSTANCES
        if number not in self._column:
            raise TaskError(f"image {image!r}: the prediction holds the unknown category {number}")
        return self._column[number]


def _sums(shared: Mapping[tuple[int, int], int], side: int) -> dict[int, int]:
    """Pixels of every segment of the truth (side 0) or of the prediction (side 1)."""
    found: dict[int, int] = {}
    for pair, pixels in shared.items():
        found[pair[side]] = found.get(pair[side], 0) + pixels
    return found


def _read_map(path: Path, shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Numbers of the segments of a map, int32 (H, W)."""
    try:
        with PillowImage.open(path) as picture:
            if picture.mode != "RGB":
                raise TaskError(f"{path}: mode {picture.mode}; a panoptic map is RGB")
            planes = np.array(picture).astype(np.int32)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise TaskError(f"{path}: not a readable map: {error}") from error
    if planes.shape[:2] != shape:
        raise TaskError(
            f"{path}: the map has {planes.shape[1]}x{planes.shape[0]} pixels, the prediction "
            f"{shape[1]}x{shape[0]}"
        )
    return to_numbers(planes)


def to_numbers(planes: NDArray[np.int32]) -> NDArray[np.int32]:
    """R + 256 G + 65536 B of int32 (H, W, 3)."""
    return planes[:, :, 0] + 256 * planes[:, :, 1] + 65536 * planes[:, :, 2]


def _quotient(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _mean(values: Floats, chosen: NDArray[np.bool_]) -> Floats:
    """Row means of the chosen values; nan where there are none."""
    number = chosen.sum(axis=1)
    mean = np.full(len(values), np.nan)
    np.divide(np.where(chosen, values, 0).sum(axis=1), number, out=mean, where=number > 0)
    return mean
