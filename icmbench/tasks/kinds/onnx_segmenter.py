"""`onnx-segmenter`: any exported network for semantic segmentation, through ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from icmbench.core.errors import ConfigError, TaskError
from icmbench.datasets.options import Option
from icmbench.tasks.backends.network_input import (
    PIXELS,
    check_pixels,
    resize,
    resize_planes,
    to_tensor,
)
from icmbench.tasks.backends.onnx_task import FILE, GPU_PACKAGE, OnnxTask
from icmbench.tasks.base import SEMANTIC, Image, Labels, SemanticMap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PROBE: Final = 64  # side of the image that a network of any size is tried on


class OnnxSegmenter(OnnxTask):
    """A network from an image to one score per class and pixel, (1, C, h, w).

    Scores are brought to the image's size, bilinearly, and a pixel has the class of the highest
    one.
    """

    kind = "onnx-segmenter"
    produces = SEMANTIC
    packages = ("onnxruntime", GPU_PACKAGE, "torch")
    options = {
        **FILE,
        "classes": Option(list, required=True, help="names, in the order of the scores"),
        "size": Option(
            list, help="height and width of the network's input; default: those of the image"
        ),
        **PIXELS,
    }

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        super().__init__(name, entry)
        check_pixels(f"task {name!r}", self.values)
        check_names(name, self.values["classes"])
        size = self.values["size"]
        if size is not None and not (
            len(size) == 2 and all(isinstance(side, int) and side > 0 for side in size)
        ):
            raise ConfigError(f"task {name!r}: size={size!r} is not [height, width]")
        self._indices: list[int] = []

    def load(self, labels: Labels, device: str) -> None:
        """Read the network and try it on a grey image.

        Raises TaskError where it knows other classes than the data set or than `classes` lists,
        ModelError where the file is missing, damaged or of another input or output.
        """
        import numpy as np

        self._indices = labels.class_indices(self.values["classes"], f"task {self.name!r}")
        self._open(device)
        declared = self._session.get_inputs()[0].shape[2:]
        own = [side if isinstance(side, int) else PROBE for side in declared]
        height, width = self.values["size"] or (own if len(own) == 2 else (PROBE, PROBE))
        self._scores(np.full((height, width, 3), 128, np.uint8))

    def predict(self, image: Image, given: Sequence[Any]) -> SemanticMap:
        """The class of every pixel of an image uint8 (H, W, 3)."""
        height, width = image.shape[:2]
        scores = self._scores(resize(image, *(self.values["size"] or (height, width))))
        return label_pixels(scores, self._indices, height, width)

    def _scores(self, image: Image) -> NDArray[np.float32]:
        scores = self._run(to_tensor(image, self.values))[0]
        count = len(self.values["classes"])
        if scores.ndim != 4 or scores.shape[:2] != (1, count):
            raise TaskError(
                f"{self._path()}: the output has the shape {scores.shape}, expected "
                f"(1, {count}, h, w)"
            )
        return scores


def check_names(task: str, names: Sequence[object]) -> None:
    """ConfigError where the option `classes` is no list of different names."""
    wrong = [name for name in names if not isinstance(name, str)]
    if not names or wrong or len(set(names)) != len(names):
        raise ConfigError(f"task {task!r}: classes={names!r} is no list of different names")


def label_pixels(
    scores: NDArray[np.float32], indices: Sequence[int], height: int, width: int
) -> SemanticMap:
    """The class of the highest score per pixel, as the data set's index: uint8 (height, width).

    Args:
        scores: (1, C, h, w).
        indices: the data set's index of every class of the network; -1: it has none, and pixels
            of that class are NO_CLASS, which is never right.
    """
    import numpy as np

    from icmbench.tasks.metrics.segmentation_metrics import NO_CLASS

    if scores.shape[2:] != (height, width):
        scores = resize_planes(scores, height, width)
    values = np.array([NO_CLASS if index < 0 else index for index in indices], np.uint8)
    labels: SemanticMap = values[scores[0].argmax(axis=0)]
    return labels
