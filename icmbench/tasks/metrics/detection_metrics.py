"""Detection metrics: COCO mAP of boxes and masks, missed and hallucinated objects.

Matching happens once per image (`DetectionEvaluator.count`) and gives what pycocotools'
`COCOeval.evaluate` gives; the metrics of any weighting of the images follow from it
(`DetectionEvaluator.values`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError, TaskError
from icmbench.tasks.base import Instances
from icmbench.tasks.metrics.average_precision import (
    HIT,
    MISS,
    THRESHOLDS,
    Ranked,
    average_precision,
    category_means,
    rank,
)
from icmbench.tasks.metrics.coco_truth import CocoTruth
from icmbench.tasks.metrics.detection_matching import match, overlaps_of, sort_detections
from icmbench.tasks.metrics.score import Score

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

# Which detections are shown to a user, or acted on, is a choice; 0.5 is the usual one of mmdet's
# and torchvision's demonstrations. mAP needs none.
SHOWN: Final = 0.5


@dataclass(frozen=True)
class DetectionCounts:
    """Counts of one codec spec's predictions, image by image.

    Attributes:
        boxes: what was found, by category id.
        masks: the same judged by masks; None: they are not.
        found: int64 (images,), objects that a shown box found.
        invented: int64 (images,), shown boxes that found none.
    """

    boxes: Mapping[int, Ranked]
    masks: Mapping[int, Ranked] | None
    found: Counts
    invented: Counts


class DetectionEvaluator:
    """Judges predictions of the images of a data set against its COCO annotations."""

    metrics: ClassVar[Mapping[str, Score]] = {
        "box_map": Score("box mAP", True),
        "box_map50": Score("box mAP50", True),
        "box_map75": Score("box mAP75", True),
        "mask_map": Score("mask mAP", True),
        "mask_map50": Score("mask mAP50", True),
        "missed": Score("missed objects", False, "share"),
        "hallucinated": Score("hallucinated objects per image", False, most=inf),
    }

    def __init__(self, images: Sequence[str], instances: Mapping[str, Any]) -> None:
        """Take the objects of `images` from a COCO instances dictionary.

        Every entry of `instances["images"]` names its image id under `image`. TaskError: see
        `icmbench.tasks.metrics.coco_truth.CocoTruth`.
        """
        self.images = list(images)
        self._truth = CocoTruth(self.images, instances)
        self._positives = self._truth.positives(len(self.images))

    def count(self, predictions: Mapping[str, Instances]) -> DetectionCounts:
        """Match the predictions of one codec spec with the objects, image by image.

        Masks are judged where all objects and all predictions have them.

        Raises MeasurementError where an image has no prediction, TaskError naming the image where
        a label is no category of the data set or a mask is not of the image's size.
        """
        for name in self.images:
            if name not in predictions:
                raise MeasurementError(f"image {name!r} has no prediction")
        found = [predictions[name] for name in self.images]
        self._check(found)
        with_masks = self._truth.has_masks and _all_masks(found)
        boxes, found_objects, invented = self._match(found, masks=False)
        masks = self._match(found, masks=True)[0] if with_masks else None
        return DetectionCounts(boxes, masks, found_objects, invented)

    def values(self, counts: DetectionCounts, weights: Counts) -> dict[str, Floats]:
        """The metrics where image i counts `weights[r, i]` times, float64 (R,) each.

        - `box_map`, `box_map50`, `box_map75`: COCO's average precision over IoU thresholds 0.5 to
          0.95, at 0.5 and at 0.75, mean over the categories that have an object (no crowd region)
          in the draw; all areas, at most 100 detections per image and category. Equal to
          pycocotools' `stats[:3]`.
        - `mask_map`, `mask_map50`: the same of masks; nan where there are none.
        - `missed`: share of the objects that no prediction of score 0.5 or more and of the right
          category found: by boxes, at an IoU of 0.5 or more. Matching is COCO's: by falling score
          each box takes the free object that it overlaps most.
        - `hallucinated`: mean number per image of predictions of score 0.5 or more that found none
          at an IoU of 0.5, a second box on one object among them; what lies in a crowd region does
          not count.

        A metric is nan where it is not defined: no object, or no image, in the draw.

        Args:
            weights: int64 (R, images), not negative.
        """
        if weights.ndim != 2 or weights.shape[1] != len(self.images):
            raise ValueError(f"weights {weights.shape} for {len(self.images)} images")
        boxes = self._means(counts.boxes, weights)
        nothing = np.full((len(THRESHOLDS), len(weights)), np.nan)
        masks = nothing if counts.masks is None else self._means(counts.masks, weights)
        objects = sum(self._positives.values(), np.zeros(len(self.images), np.int64))
        missed = _ratio(weights @ (objects - counts.found), weights @ objects)
        return {
            "box_map": boxes.mean(axis=0),
            "box_map50": boxes[0],
            "box_map75": boxes[5],
            "mask_map": masks.mean(axis=0),
            "mask_map50": masks[0],
            "missed": missed,
            "hallucinated": _ratio(weights @ counts.invented, weights.sum(axis=1)),
        }

    def _means(self, ranked: Mapping[int, Ranked], weights: Counts) -> Floats:
        tables = []
        for category, objects in self._positives.items():
            positives = weights @ objects
            precision = np.zeros((len(THRESHOLDS), len(weights)))
            if category in ranked:
                precision = average_precision(ranked[category], np.maximum(positives, 1), weights)
            tables.append((precision, positives))
        return category_means(tables, len(weights))

    def _check(self, found: Sequence[Instances]) -> None:
        for name, size, things in zip(self.images, self._truth.sizes, found, strict=True):
            strange = np.setdiff1d(things.labels, self._truth.categories)
            if len(strange):
                raise TaskError(f"image {name!r}: label {strange[0]} is no category id")
            for mask in things.masks or ():
                if 0 not in size and tuple(mask["size"]) != size:
                    raise TaskError(
                        f"image {name!r}: a mask has the size {list(mask['size'])}, the image "
                        f"{list(size)}"
                    )

    def _match(
        self, found: Sequence[Instances], *, masks: bool
    ) -> tuple[dict[int, Ranked], Counts, Counts]:
        """Ranked detections by category; true and false positives per image above `SHOWN`."""
        ranking = sort_detections(found, self._truth.order)
        verdict = np.full((len(THRESHOLDS), len(ranking.scores)), MISS, np.int8)
        for (column, category), objects in self._truth.objects.items():
            here = ranking.groups.get((column, category))
            if here is not None:
                overlaps = overlaps_of(found[column], ranking.indices[here], objects, masks)
                verdict[:, here] = match(overlaps, objects.crowd)
        ranked = {}
        for category in np.unique(ranking.labels).tolist():
            mine = ranking.labels == category
            ranked[category] = rank(ranking.images[mine], ranking.scores[mine], verdict[:, mine])
        shown = ranking.scores >= SHOWN

        def per_image(state: int) -> Counts:
            return np.bincount(ranking.images[shown & (verdict[0] == state)], minlength=len(found))

        return ranked, per_image(HIT), per_image(MISS)


def _all_masks(found: Sequence[Instances]) -> bool:
    """True if predictions have masks; images without things count only if none has any."""
    missing = any(things.masks is None and len(things.scores) for things in found)
    return not missing and any(things.masks is not None for things in found)


def _ratio(above: Counts, below: Counts) -> Floats:
    quotient = np.full(len(below), np.nan)
    np.divide(above, below, out=quotient, where=below > 0)
    return quotient
