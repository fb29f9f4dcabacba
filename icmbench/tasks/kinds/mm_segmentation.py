"""`mmseg`: semantic segmentation by any model of MMSegmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from icmbench.tasks.backends.openmm_task import FOLDER, OpenMMTask
from icmbench.tasks.base import SEMANTIC, Image, Labels, SemanticMap

OTHER: Final = 255  # a class that the data set does not have: never right, and never a class

LOADS = ("mmseg",)  # imported by name: a new version predicts again


class MmSegmenter(OpenMMTask):
    """A segmenter of mmseg; its own test pipeline prepares the images, whole ones."""

    kind = "mmseg"
    produces = SEMANTIC
    packages = ("mmsegmentation", "mmengine", "mmcv", "mmcv-lite", "torch", "torchvision")
    package = LOADS[0]
    bundled = FOLDER / "segmenter.safetensors"
    bundled_model = "Fast-SCNN"

    def _match(self, labels: Labels, known: Sequence[str]) -> list[int]:
        numbers = labels.class_indices(known, f"task {self.name!r} ({self.model})")
        return [OTHER if number < 0 else number for number in numbers]

    def _infer(self, batch: dict[str, Any]) -> Any:
        """As inherited; values of the image's size are not scaled to it once more."""
        if not self._ours:
            return super()._infer(batch)
        data = self._network.data_preprocessor(batch, False)
        samples = data["data_samples"]
        values = self._network.inference(data["inputs"], [each.metainfo for each in samples])
        scaled = tuple(values.shape[-2:]) != tuple(samples[0].ori_shape)
        return self._network.postprocess_result(values, samples if scaled else None)[0]

    def predict(self, image: Image, given: Sequence[Any]) -> SemanticMap:
        """Class index of the data set per pixel; 255 for a class that it does not have."""
        import numpy as np

        seen = self._answer(image).pred_sem_seg.data[0].cpu().numpy()
        seen = seen[: image.shape[0], : image.shape[1]]  # of a thickened image
        found: SemanticMap = self._numbers[seen].astype(np.uint8)
        return found
