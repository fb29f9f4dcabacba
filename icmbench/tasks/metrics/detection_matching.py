"""COCO's greedy matching of detections to objects, one category and image at a time.

The result is that of pycocotools' `COCOeval.evaluate` for area `all` and 100 detections. It is
faster because images are only visited for categories that occur in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from icmbench.tasks.base import Instances
from icmbench.tasks.metrics.average_precision import HIT, IGNORED, MISS, THRESHOLDS
from icmbench.tasks.metrics.coco_truth import Objects

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

MAX_DETECTIONS: Final = 100  # per category and image, as in COCO


@dataclass(frozen=True)
class SortedDetections:
    """Detections of all images, sorted by category, image and falling score; the sort is stable.

    Attributes:
        labels, images, scores: (n,); `images` are indices of images.
        indices: (n,), index of each detection in the predictions of its image.
        groups: (image, category) -> slice of its detections.
    """

    labels: Counts
    images: Counts
    scores: Floats
    indices: Counts
    groups: Mapping[tuple[int, int], slice]


def sort_detections(found: Sequence[Instances], order: Sequence[int]) -> SortedDetections:
    """Sort predictions, at most `MAX_DETECTIONS` per category and image.

    Args:
        found: predictions of each image.
        order: indices of the images in the order of the sort.
    """
    ordered = [found[column] for column in order]
    sizes = [len(instances.scores) for instances in ordered]
    none = np.zeros(0, np.int64)  # there may be no image at all
    labels = np.concatenate([none, *(instances.labels for instances in ordered)])
    scores = np.concatenate([none, *(instances.scores for instances in ordered)])
    indices = np.concatenate([none, *(np.arange(size) for size in sizes)])
    position = np.repeat(np.arange(len(order)), sizes)
    best = np.lexsort((-scores, position, labels))  # stable, like pycocotools' mergesort
    begins = _begins(labels[best], position[best])
    nth = np.arange(len(best)) - np.repeat(begins[:-1], np.diff(begins))
    best = best[nth < MAX_DETECTIONS]
    labels, images = labels[best], np.array(order, np.int64)[position[best]]
    begins = _begins(labels, images)
    keys = zip(images[begins[:-1]].tolist(), labels[begins[:-1]].tolist(), strict=True)
    groups = {key: slice(*ends) for key, ends in zip(keys, pairwise(begins.tolist()), strict=True)}
    return SortedDetections(labels, images, scores[best], indices[best], groups)


def _begins(first: Counts, second: Counts) -> Counts:
    """Indices at which a new pair of values begins, and the length as the last element."""
    new = (np.diff(first, prepend=-1) != 0) | (np.diff(second, prepend=-1) != 0)
    new[:1] = True
    return np.append(np.flatnonzero(new), len(first))


def overlaps_of(found: Instances, indices: Counts, objects: Objects, masks: bool) -> Floats:
    """IoU (detections, objects); for a crowd region the share of the detection inside it.

    Args:
        found: predictions of one image.
        indices: of the detections among them.
        masks: compare masks instead of boxes.
    """
    truth: Any = objects.boxes
    if masks:
        assert found.masks is not None
        assert objects.masks is not None
        regions: Any = [dict(found.masks[index]) for index in indices]
        truth = objects.masks
    else:
        regions = found.boxes[indices]
        # (x + width) - x differs from width by a rounding error: 9 decimals, more than annotation
        # files have, restore it.
        regions[:, 2:] = np.round(regions[:, 2:] - regions[:, :2], 9)
    return np.asarray(coco_mask.iou(regions, truth, objects.crowd.astype(np.uint8)))


def match(overlaps: Floats, crowd: NDArray[np.bool_]) -> NDArray[np.int8]:
    """COCO's greedy matching of one category in one image: int8 (10 IoU thresholds, detections).

    In the order of falling score every detection takes, at each threshold, the unmatched object of
    largest overlap (the last one of equals) and is a HIT. Without such an object it is IGNORED
    where it lies in a crowd region, else a MISS.

    Args:
        overlaps: (detections, objects), detections by falling score.
        crowd: (objects,).
    """
    verdict = np.full((len(THRESHOLDS), len(overlaps)), MISS, np.int8)
    single = overlaps[:, ~crowd]
    inside = overlaps[:, crowd].max(axis=1, initial=0.0)
    taken = np.zeros((len(THRESHOLDS), single.shape[1]), bool)
    levels, last = np.arange(len(THRESHOLDS)), single.shape[1] - 1
    for index in np.flatnonzero(overlaps.max(axis=1) >= THRESHOLDS[0]):
        verdict[inside[index] >= THRESHOLDS, index] = IGNORED
        if last >= 0:
            free = np.where(taken, -1.0, single[index])
            chosen = last - np.argmax(free[:, ::-1], axis=1)
            hit = free[levels, chosen] >= THRESHOLDS
            taken[levels[hit], chosen[hit]] = True
            verdict[hit, index] = HIT
    return verdict
