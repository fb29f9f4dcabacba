"""Match detections to objects: COCO's greedy matching, one category and image at a time.

What pycocotools' `COCOeval.evaluate` does for all areas and 100 detections, without its loops over
categories that an image does not have.
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

MAX_DETECTIONS: Final = 100  # of a category in an image: COCO's


@dataclass(frozen=True)
class Listed:
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


def listed(found: Sequence[Instances], order: Sequence[int]) -> Listed:
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
    return Listed(labels, images, scores[best], places[best], groups)


def _begins(first: Counts, second: Counts) -> Counts:
    """Indexes at which a new pair of values begins, and the length at the end."""
    new = (np.diff(first, prepend=-1) != 0) | (np.diff(second, prepend=-1) != 0)
    new[:1] = True
    return np.append(np.flatnonzero(new), len(first))


def overlaps_of(things: Instances, places: Counts, objects: Objects, masks: bool) -> Floats:
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
        overlaps: (detections, objects), detections by falling score.
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
