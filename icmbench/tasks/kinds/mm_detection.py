"""`mmdet`: detection and instance segmentation by any model of MMDetection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from icmbench.core.errors import ConfigError
from icmbench.datasets.options import Option
from icmbench.tasks.backends.openmm_task import FOLDER, OPTIONS, OpenMMTask
from icmbench.tasks.base import INSTANCES, Image, Instances, Labels

LOADS = ("mmdet",)  # imported by name: a new version predicts again


class MmDetector(OpenMMTask):
    """A detector of mmdet; its own test pipeline prepares the images.

    How many things it gives, and from which score on, is the configuration's (`model.test_cfg`):
    COCO's mAP needs detections of low score, too.
    """

    kind = "mmdet"
    produces = INSTANCES
    packages = ("mmdet", "mmengine", "mmcv", "mmcv-lite", "torch", "torchvision")
    package = LOADS[0]
    bundled = FOLDER / "detector.safetensors"
    bundled_model = "RTMDet-Ins"
    options = {
        **OPTIONS,
        "score_threshold": Option(
            float, default=0.0, low=0.0, help="things of a lower score are left out"
        ),
    }

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        super().__init__(name, entry)
        if self.values["score_threshold"] > 1:
            raise ConfigError(f"task {name!r}: score_threshold is above 1")

    def _match(self, labels: Labels, known: Sequence[str]) -> list[int]:
        return labels.category_ids(known, f"task {self.name!r} ({self.model})")

    def _infer(self, batch: dict[str, Any]) -> Any:
        """As inherited; masks that have the image's size are not scaled to it once more.

        mmdet's RTMDet-Ins scales the rows of masks by the columns' factor and the reverse. Where
        rounding makes the two differ, it gets them in that order, and boxes are put right.
        """
        sample = batch["data_samples"][0]
        wide, high = sample.metainfo.get("scale_factor", (1.0, 1.0))
        head = type(getattr(self._network, "bbox_head", None)).__name__
        if wide == high or not head.startswith("RTMDetIns"):
            return self._seen(batch)
        sample.set_metainfo({"scale_factor": (high, wide)})
        seen = self._seen(batch)
        boxes = seen.pred_instances.bboxes
        boxes *= boxes.new_tensor([high / wide, wide / high] * 2)
        return seen

    def _seen(self, batch: dict[str, Any]) -> Any:
        if not self._ours:  # whether others take the argument is their own affair
            return super()._infer(batch)
        data = self._network.data_preprocessor(batch, False)
        shape = data["data_samples"][0].ori_shape
        scaled = tuple(data["inputs"].shape[-2:]) != tuple(shape)
        seen = self._network.predict(data["inputs"], data["data_samples"], rescale=scaled)
        return seen[0]

    def predict(self, image: Image, given: Sequence[Any]) -> Instances:
        """Detections by falling score, in the data set's categories; others are left out."""
        import numpy as np

        found = self._answer(image).pred_instances.cpu()
        scores = found.scores.numpy().astype(np.float64)
        numbers = self._numbers[found.labels.numpy()]
        kept = np.flatnonzero((numbers >= 0) & (scores >= self.values["score_threshold"]))
        kept = kept[np.argsort(-scores[kept], kind="stable")]
        masks = None
        if "masks" in found:
            inside = (slice(image.shape[0]), slice(image.shape[1]))  # of a thickened image
            masks = tuple(_rle(found.masks[number].numpy()[inside]) for number in kept)
        boxes = found.bboxes.numpy().astype(np.float64).reshape(-1, 4)[kept]
        return Instances(boxes, scores[kept], numbers[kept], masks)


def _rle(mask: Any) -> Mapping[str, Any]:
    """Compressed RLE, its counts as text, of a mask (H, W)."""
    import numpy as np
    from pycocotools import mask as coco_mask

    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")}
