"""`mmdet-panoptic`: panoptic segmentation by a model of MMDetection, such as Mask2Former."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from icmbench.core.errors import TaskError
from icmbench.tasks.backends.openmm_task import FOLDER, OPTIONS, OpenMMTask
from icmbench.tasks.base import Image, Labels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from icmbench.tasks.answers.panoptic import Segments

LOADS = ("mmdet",)  # imported by name: a new version predicts again
OFFSET: Final = 1000  # mmdet's values: class + OFFSET * number; ours: number + OFFSET * category


class MmPanoptic(OpenMMTask):
    """A panoptic model of mmdet; its own test pipeline prepares the images."""

    kind = "mmdet-panoptic"
    produces = "panoptic"  # of a module with numpy
    packages = ("mmdet", "mmengine", "mmcv", "mmcv-lite", "torch", "torchvision")
    package = LOADS[0]
    bundled = FOLDER / "none"  # no model is bundled
    options = {**OPTIONS, "checkpoint": replace(OPTIONS["checkpoint"], default=None, required=True)}

    def _match(self, labels: Labels, known: Sequence[str]) -> list[int]:
        return labels.segment_ids(known, f"task {self.name!r} ({self.model})")

    def predict(self, image: Image, given: Sequence[Any]) -> Segments:
        """Segments of an image; those of classes that the data set does not have are left out."""
        answer = self._answer(image)
        if "pred_panoptic_seg" not in answer:
            raise TaskError(f"{self.model} gives no panoptic segments: a panoptic model is needed")
        seen = answer.pred_panoptic_seg.sem_seg[0].cpu().numpy()
        from icmbench.tasks.answers.panoptic import Segments

        return Segments(to_segments(seen[: image.shape[0], : image.shape[1]], self._numbers))


def to_segments(seen: NDArray[Any], numbers: NDArray[np.int64]) -> NDArray[np.int32]:
    """A map of mmdet in the categories of the data set.

    Args:
        seen: integers (H, W): class + 1000 * number, number being 0 for stuff; a class beyond the
            last is none.
        numbers: category id of every class; -1: none.
    """
    import numpy as np

    classes, instances = seen % OFFSET, seen // OFFSET
    category = np.append(numbers, -1)[np.minimum(classes, len(numbers))]
    values = np.where(category < 0, 0, category * OFFSET + np.maximum(instances, 1))
    return values.astype(np.int32)
