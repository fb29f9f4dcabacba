"""COCO's average precision, for many weightings of the images at once.

What pycocotools' `COCOeval.accumulate` computes for a list of images, computed for lists in which
images stand more than once or not at all (the draws of a bootstrap), without making the lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

THRESHOLDS: Final = np.linspace(0.5, 0.95, 10)  # of IoU
RECALLS: Final = np.linspace(0.0, 1.0, 101)
HIT, MISS, IGNORED = 1, 0, -1
_CHUNK: Final = 1 << 21  # entries of a table of weights


@dataclass(frozen=True)
class Ranked:
    """Detections of one category in all images, by falling score.

    Attributes:
        image: int64 (n,), column of the image.
        verdict: int8 (10, n), HIT, MISS or IGNORED at each of `THRESHOLDS`.
        block: int64 (n,), equal for neighbours of one image and one score.
    """

    image: Counts
    verdict: NDArray[np.int8]
    block: Counts


def rank(image: Counts, scores: Floats, verdict: NDArray[np.int8]) -> Ranked:
    """Sort detections by falling score; the sort is stable, as in pycocotools.

    Given image after image, in the order of their COCO ids, and within an image by falling score.
    """
    order = np.argsort(-scores, kind="stable")
    image, scores = image[order], scores[order]
    new = np.ones(len(image), bool)
    new[1:] = (image[1:] != image[:-1]) | (scores[1:] != scores[:-1])
    return Ranked(image, verdict[:, order], np.cumsum(new) - 1)


def average_precision(ranked: Ranked, positives: Counts, weights: Counts) -> Floats:
    """Average precision (10, R) of a category: one row per IoU threshold.

    The mean, over 101 recalls, of the best precision at this recall or a higher one; 0 beyond the
    highest recall reached.

    Args:
        positives: int64 (R,), objects that are to be found; above 0.
        weights: int64 (R, images), how often each image counts. Copies of an image stand next to
            each other, which decides the order where scores are equal.
    """
    column, copy = _columns(ranked, int(weights.max(initial=1)))
    step = max(1, _CHUNK // max(1, len(column)))
    parts = []
    for start in range(0, len(weights), step):
        rows = slice(start, start + step)
        counts = weights[rows][:, ranked.image[column]]
        counts = np.where(copy < 0, counts, counts > copy)
        parts.append(_curves(ranked.verdict[:, column], counts, positives[rows]))
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(THRESHOLDS), 0))


def _columns(ranked: Ranked, most: int) -> tuple[Counts, Counts]:
    """Columns of the expanded list: which entry each is, and which copy (-1: all of them).

    Copies of one entry follow each other, so they are one column with a weight. Not so where
    several entries of an image have the same score: a copy of the image then brings all of them
    before the next copy brings the first again.
    """
    entry = np.arange(len(ranked.block))
    size = np.bincount(ranked.block)[ranked.block] if len(entry) else entry
    tied = np.flatnonzero(size > 1)
    if most <= 1 or not len(tied):
        return entry, np.full(len(entry), -1)
    single = np.flatnonzero(size == 1)
    column = np.concatenate([single, np.repeat(tied, most)])
    copy = np.concatenate([np.full(len(single), -1), np.tile(np.arange(most), len(tied))])
    order = np.lexsort((column, copy, ranked.block[column]))
    return column[order], copy[order]


def _curves(verdict: NDArray[np.int8], counts: Counts, positives: Counts) -> Floats:
    """Average precision (10, R) of columns that count `counts` (R, n) times."""
    seen = np.cumsum(counts, axis=1)
    rows = []
    for state in verdict:
        hits = np.flatnonzero(state == HIT)
        true = np.cumsum(counts[:, hits], axis=1)
        judged = seen[:, hits]
        if (state == IGNORED).any():
            judged = judged - np.cumsum(counts * (state == IGNORED), axis=1)[:, hits]
        rows.append(_interpolated(true, judged, positives))
    return np.stack(rows)


def _interpolated(true: Counts, judged: Counts, positives: Counts) -> Floats:
    """Mean of the interpolated precision at 101 recalls, (R,).

    Args:
        true: (R, hits), hits up to and with the last copy of each hit. Precision rises within the
            copies of a hit and falls with every miss, so its peaks are all here.
        judged: (R, hits), hits and misses up to there.
        positives: (R,).
    """
    precision = true / (judged + np.spacing(1))
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # How many of the 101 recalls each hit is the first to reach: compared as the floating-point
    # numbers that pycocotools compares.
    reached = np.searchsorted(RECALLS, true / positives[:, None], side="right")
    first = np.diff(reached, axis=1, prepend=0)
    mean: Floats = (best * first).sum(axis=1) / len(RECALLS)
    return mean


def category_means(tables: Sequence[tuple[Floats, Counts]], draws: int) -> Floats:
    """Means (10, R) over the categories of which a draw holds an object; nan where there is none.

    Args:
        tables: per category its average precision (10, R) and its objects (R,).
    """
    total = np.zeros((len(THRESHOLDS), draws))
    count = np.zeros(draws, np.int64)
    for precision, positives in tables:
        present = positives > 0
        total += np.where(present, precision, 0.0)
        count += present
    mean = np.full_like(total, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean
