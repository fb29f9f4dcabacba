"""Instances, boxes with or without masks, stored as JSON like COCO's results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from icmbench.core.errors import TaskError
from icmbench.tasks.answers import Answer
from icmbench.tasks.answers.numbers import rounded, score, to_json
from icmbench.tasks.base import Instances as Found
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.metrics.detection_metrics import DetectionEvaluator


class Instances(Answer):
    """`icmbench.tasks.base.Instances`."""

    extension = "json"
    metrics = DetectionEvaluator.metrics
    curves = ("box_map50", "box_map", "mask_map")  # missed objects have a figure of their own

    def encode(self, prediction: Found, size: tuple[int, int] | None) -> bytes:
        """Boxes x, y, width, height, scores, category ids and masks."""
        _check(prediction)
        if size is None and prediction.masks:
            size = tuple(prediction.masks[0]["size"])
        things = []
        for number, (x1, y1, x2, y2) in enumerate(prediction.boxes.tolist()):
            thing: dict[str, Any] = {
                "category_id": int(prediction.labels[number]),
                "bbox": rounded([x1, y1, x2 - x1, y2 - y1]),
                "score": score(prediction.scores[number]),
            }
            if prediction.masks is not None:
                mask = prediction.masks[number]
                thing["segmentation"] = {"size": [int(n) for n in mask["size"]]} | {
                    "counts": mask["counts"]
                }
            things.append(thing)
        # `masks` distinguishes a detector from an instance segmenter without detections.
        masks = prediction.masks is not None
        return to_json({"size": size and list(size), "masks": masks, "things": things})

    def decode(self, data: bytes) -> Found:
        """The instances, as rounded."""
        value = json.loads(data)
        things = value["things"]
        boxes = np.array([thing["bbox"] for thing in things], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        masks = tuple(thing["segmentation"] for thing in things) if value["masks"] else None
        return Found(
            boxes,
            np.array([thing["score"] for thing in things], np.float64),
            np.array([thing["category_id"] for thing in things], np.int64),
            masks,
        )

    def annotated(self, truth: Truth) -> bool:
        """True if there are images in COCO's format."""
        return bool(truth.instances.get("images"))

    def evaluator(self, truth: Truth, images: Sequence[str]) -> DetectionEvaluator:
        """Of mAP."""
        return DetectionEvaluator(images, truth.instances)


def _check(found: Found) -> None:
    """TaskError where the parts of a prediction do not belong together or have no meaning."""
    count = len(found.scores)
    shapes = (found.boxes.shape, found.scores.shape, found.labels.shape)
    if shapes != ((count, 4), (count,), (count,)):
        raise TaskError(f"boxes, scores and labels have the shapes {shapes}")
    if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
        raise TaskError("a box or a score is not finite")
    if (found.boxes[:, 2:] < found.boxes[:, :2]).any():
        raise TaskError("a box ends before it begins: x1 y1 x2 y2 are expected")
    if found.masks is not None:
        if len(found.masks) != count:
            raise TaskError(f"{len(found.masks)} masks of {count} things")
        if not all(isinstance(mask["counts"], str) for mask in found.masks):
            raise TaskError("masks are expected as compressed RLE, their counts as text")


ANSWER = Instances()
