"""`onnx-pose`: an exported RTMPose that finds the keypoints of a person, with ONNX Runtime.

RTMPose (Jiang et al. 2023) tells x and y of every point apart as classes of a fraction of a pixel
(SimCC, Li et al. 2022). Cropping and decoding are MMPose's of its top-down models without UDP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from icmbench.core.errors import TaskError
from icmbench.datasets.options import Option
from icmbench.tasks.backends.network_input import PIXELS, check_pixels, to_tensor
from icmbench.tasks.backends.onnx_task import FILE, GPU_PACKAGE, OnnxTask
from icmbench.tasks.base import Image, Labels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from icmbench.tasks.answers.keypoints import Keypoints

IMAGENET: Final[Mapping[str, Any]] = {
    "mean": [123.675, 116.28, 103.53],
    "std": [58.395, 57.12, 57.375],
}
TRUSTED: Final = 0.2  # a point of a higher score counts in that of its person


class OnnxPose(OnnxTask):
    """A network of the SimCC family; persons are given by their annotated boxes.

    The crop has the box's centre and 1.25 times its size, enlarged to the input's aspect ratio. It
    is sampled bilinearly, black outside of the image. The score of a person is the mean of those of
    its points above 0.2. Duplicates are not removed: every box is of one person.
    """

    kind = "onnx-pose"
    produces = "keypoints"  # of a module with numpy
    packages = ("onnxruntime", GPU_PACKAGE)
    options = {
        **FILE,
        "width": Option(int, default=192, low=16, help="of the network's input in pixels"),
        "height": Option(int, default=256, low=16, help="of the network's input in pixels"),
        "padding": Option(float, default=1.25, low=0.1, help="size of the crop in boxes"),
        **{key: replace(option, default=IMAGENET.get(key, option.default))
           for key, option in PIXELS.items()},
    }  # fmt: skip

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        super().__init__(name, entry)
        check_pixels(f"task {name!r}", self.values)

    @property
    def model(self) -> str:
        """The network's name; that boxes are given stands beside it in every table."""
        return f"{super().model}, in annotated boxes"

    def load(self, labels: Labels, device: str) -> None:
        """Load the network and run it once on a black crop.

        Raises TaskError where its outputs are not those of SimCC for this input.
        """
        import numpy as np

        self._open(device)
        self._points(np.zeros((self.values["height"], self.values["width"], 3), np.uint8))

    def predict(self, image: Image, given: Sequence[Any]) -> Keypoints:
        """Keypoints of the persons in boxes x, y, width, height.

        Raises TaskError for a box that has no pixel inside of the image.
        """
        import numpy as np

        points, scores = [], []
        for box in given:
            corner, step = self._frame(box, image)
            crop = self._crop(image, corner, step)
            places, certain = self._points(crop)
            points.append(corner + step * places)
            trusted = certain[certain > TRUSTED]
            scores.append(float(trusted.mean()) if len(trusted) else 0.0)
        shape = (len(points), -1 if points else 0, 2)
        from icmbench.tasks.answers.keypoints import Keypoints

        return Keypoints(np.reshape(points, shape).astype(np.float64), np.array(scores, np.float64))

    def _frame(self, box: Sequence[float], image: Image) -> tuple[NDArray[np.float64], float]:
        """Top left corner (x, y) of a box's crop, and pixels of the image per pixel of the crop."""
        import numpy as np

        size = np.array([self.values["width"], self.values["height"]], np.float64)
        low = np.clip(box[:2], 0, image.shape[1::-1])
        high = np.clip(np.add(box[:2], box[2:]), 0, image.shape[1::-1])
        if not (np.isfinite(box).all() and (high > low).all()):
            raise TaskError(f"the box {list(box)} of a person has no pixel inside of the image")
        step = float(((high - low) * self.values["padding"] / size).max())
        return (low + high) / 2 - step * size / 2, step

    def _crop(self, image: Image, corner: NDArray[np.float64], step: float) -> Image:
        """The crop uint8 (height, width, 3); indices of pixels are scaled, as by OpenCV."""
        import numpy as np
        from PIL import Image as PillowImage

        x, y = corner + 0.5 - 0.5 * step  # Pillow counts from the corners of pixels
        crop = PillowImage.fromarray(image).transform(
            (self.values["width"], self.values["height"]),
            PillowImage.Transform.AFFINE,
            (step, 0.0, float(x), 0.0, step, float(y)),
            PillowImage.Resampling.BILINEAR,
        )
        return np.asarray(crop)

    def _points(self, crop: Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points (K, 2) in pixels of a crop, and their scores (K,)."""
        outputs = self._run(to_tensor(crop, self.values))
        height, width = crop.shape[:2]
        shapes = [list(output.shape) for output in outputs]
        if len(outputs) != 2 or any(len(shape) != 3 or shape[0] != 1 for shape in shapes):
            raise TaskError(f"{self._path()}: outputs {shapes}, expected two of SimCC: x and y")
        if shapes[0][1] != shapes[1][1] or shapes[0][2] * height != shapes[1][2] * width:
            raise TaskError(
                f"{self._path()}: outputs {shapes} are not of an input of {width}x{height} pixels"
            )
        return decode_simcc(outputs[0][0], outputs[1][0], shapes[0][2] / width)


def decode_simcc(
    x: NDArray[np.float32], y: NDArray[np.float32], split: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points (K, 2) in pixels and scores (K,) of values (K, width * split), (K, height * split).

    The score is the lower one of the two largest values; a point of none above 0 is at -1.
    """
    import numpy as np

    places = np.stack([x.argmax(axis=1), y.argmax(axis=1)], axis=1).astype(np.float64)
    scores = np.minimum(x.max(axis=1), y.max(axis=1)).astype(np.float64)
    places[scores <= 0] = -1
    return places / split, scores
