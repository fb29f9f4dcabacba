"""What detections are worth: COCO mAP of boxes and masks, missed and hallucinated objects.

Matching happens once per image (`DetectionEvaluator.count`) and gives what pycocotools'
`COCOeval.evaluate` gives; the metrics of any weighting of the images follow from it
(`DetectionEvaluator.values`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from icmbench.errors import MeasurementError, TaskError
from icmbench.tasks.average_precision import (
    HIT,
    IGNORED,
    MISS,
    THRESHOLDS,
    Ranked,
    average_precision,
    category_means,
    rank,
)
from icmbench.tasks.base import Instances
from icmbench.tasks.coco_truth import CocoTruth, Objects

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

MAX_DETECTIONS: Final = 100  # of a category in an image: COCO's
# Which detections are shown to a user, or acted on, is a choice; 0.5 is the usual one of mmdet's
# and torchvision's demonstrations. mAP needs none.
SHOWN: Final = 0.5
LEAST_IOU: Final = 0.5  # with an object, to count as having found it: the loosest of mAP's


@dataclass(frozen=True)
class DetectionCounts:
    """What one codec string's predictions came to, image by image.

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

    metrics: ClassVar[Mapping[str, tuple[str, bool]]] = {
        "box_map": ("box mAP", True),
        "box_map50": ("box mAP50", True),
        "box_map75": ("box mAP75", True),
        "mask_map": ("mask mAP", True),
        "mask_map50": ("mask mAP50", True),
        "missed": ("missed objects", False),
        "hallucinated": ("hallucinated objects per image", False),
    }

    def __init__(self, images: Sequence[str], instances: Mapping[str, Any]) -> None:
        """Take the objects of `images` from a COCO instances dictionary.

        Every entry of `instances["images"]` names its image id under `image`. TaskError: see
        `icmbench.tasks.coco_truth.CocoTruth`.
        """
        self.images = list(images)
        self._truth = CocoTruth(self.images, instances)
        self._positives = self._truth.positives(len(self.images))

    def count(self, predictions: Mapping[str, Instances]) -> DetectionCounts:
        """Match the predictions of one codec string with the objects, image by image.

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
          category found at an IoU of 0.5 or more. Matching is COCO's: by falling score each box
          takes the free object that it overlaps most.
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
        """Ranked findings by category; found objects and invented ones per image."""
        listed = _listed(found, self._truth.order)
        verdict = np.full((len(THRESHOLDS), len(listed.scores)), MISS, np.int8)
        for (column, category), objects in self._truth.objects.items():
            here = listed.groups.get((column, category))
            if here is not None:
                overlaps = _overlaps(found[column], listed.places[here], objects, masks)
                verdict[:, here] = match(overlaps, objects.crowd)
        ranked = {}
        for category in np.unique(listed.labels).tolist():
            mine = listed.labels == category
            ranked[category] = rank(listed.images[mine], listed.scores[mine], verdict[:, mine])
        shown = listed.scores >= SHOWN

        def per_image(state: int) -> Counts:
            return np.bincount(listed.images[shown & (verdict[0] == state)], minlength=len(found))

        return ranked, per_image(HIT), per_image(MISS)


@dataclass(frozen=True)
class _Listed:
    """Findings of all images: by category, image and falling score; equal ones as they were given.

    Attributes:
        labels, images, scores: (n,); an image as its column.
        places: (n,), where each stands among its image's findings.
        groups: column and category -> where their findings stand.
    """

    labels: Counts
    images: Counts
    scores: Floats
    places: Counts
    groups: Mapping[tuple[int, int], slice]


def _listed(found: Sequence[Instances], order: Sequence[int]) -> _Listed:
    """The `MAX_DETECTIONS` best of every category in every image, images in the order given."""
    ordered = [found[column] for column in order]
    sizes = [len(things.scores) for things in ordered]
    none = np.zeros(0, np.int64)  # there may be no image at all
    labels = np.concatenate([none, *(things.labels for things in ordered)])
    scores = np.concatenate([none, *(things.scores for things in ordered)])
    places = np.concatenate([none, *(np.arange(size) for size in sizes)])
    position = np.repeat(np.arange(len(order)), sizes)
    best = np.lexsort((-scores, position, labels))  # stable, like pycocotools' mergesort
    begins = _begins(labels[best], position[best])
    nth = np.arange(len(best)) - np.repeat(begins[:-1], np.diff(begins))
    best = best[nth < MAX_DETECTIONS]
    labels, images = labels[best], np.array(order, np.int64)[position[best]]
    begins = _begins(labels, images)
    keys = zip(images[begins[:-1]].tolist(), labels[begins[:-1]].tolist(), strict=True)
    groups = {key: slice(*ends) for key, ends in zip(keys, pairwise(begins.tolist()), strict=True)}
    return _Listed(labels, images, scores[best], places[best], groups)


def _begins(first: Counts, second: Counts) -> Counts:
    """Where a new pair of values begins, and the length at the end."""
    new = (np.diff(first, prepend=-1) != 0) | (np.diff(second, prepend=-1) != 0)
    new[:1] = True
    return np.append(np.flatnonzero(new), len(first))


def _all_masks(found: Sequence[Instances]) -> bool:
    """Whether predictions have masks; an image without things says nothing unless none has any."""
    missing = any(things.masks is None and len(things.scores) for things in found)
    return not missing and any(things.masks is not None for things in found)


def _overlaps(things: Instances, places: Counts, objects: Objects, masks: bool) -> Floats:
    """IoU (detections, objects); with a crowd region the share of the detection inside it."""
    truth: Any = objects.boxes
    if masks:
        assert things.masks is not None
        assert objects.masks is not None
        found: Any = [dict(things.masks[place]) for place in places]
        truth = objects.masks
    else:
        found = things.boxes[places]
        # x + width - x is not quite the width; rounding to less than any file says restores it.
        found[:, 2:] = np.round(found[:, 2:] - found[:, :2], 9)
    return np.asarray(coco_mask.iou(found, truth, objects.crowd.astype(np.uint8)))


def match(overlaps: Floats, crowd: NDArray[np.bool_]) -> NDArray[np.int8]:
    """COCO's greedy matching of one category in one image: int8 (10, detections).

    By falling score every detection takes, at each threshold, the free object that it overlaps
    most (the last of equal ones); one that finds none free but lies in a crowd region is IGNORED.

    Args:
        overlaps: (detections, objects), detections by falling score, crowd regions last.
        crowd: (objects,).
    """
    verdict = np.full((len(THRESHOLDS), len(overlaps)), MISS, np.int8)
    single = overlaps[:, ~crowd]
    inside = overlaps[:, crowd].max(axis=1, initial=0.0)
    taken = np.zeros((len(THRESHOLDS), single.shape[1]), bool)
    levels, last = np.arange(len(THRESHOLDS)), single.shape[1] - 1
    for place in np.flatnonzero(overlaps.max(axis=1) >= THRESHOLDS[0]):
        verdict[inside[place] >= THRESHOLDS, place] = IGNORED
        if last >= 0:
            free = np.where(taken, -1.0, single[place])
            chosen = last - np.argmax(free[:, ::-1], axis=1)
            hit = free[levels, chosen] >= THRESHOLDS
            taken[levels[hit], chosen[hit]] = True
            verdict[hit, place] = HIT
    return verdict


def _ranked(parts: Sequence[tuple[int, Floats, NDArray[np.int8]]]) -> Ranked:
    columns, scores, verdicts = zip(*parts, strict=True)
    image = np.repeat(np.array(columns), [len(part) for part in scores])
    return rank(image, np.concatenate(scores), np.concatenate(verdicts, axis=1))


def _ratio(above: Counts, below: Counts) -> Floats:
    quotient = np.full(len(below), np.nan)
    np.divide(above, below, out=quotient, where=below > 0)
    return quotient
