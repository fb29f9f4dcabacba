"""`onnx-landmarks`: an exported network that predicts 68 facial landmarks, with ONNX Runtime.

The network has one input (1, 3, size, size). Its first output begins with the landmarks as
x, y, x, y, ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from icmbench.core.errors import ConfigError, TaskError
from icmbench.datasets.options import Option
from icmbench.tasks.backends.onnx_task import FILE, GPU_PACKAGE, OnnxTask, check_choices
from icmbench.tasks.base import LANDMARKS, Faces, Image, Labels
from icmbench.tasks.kinds.fan import POINTS, check_box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHOICES: Final = {"channels": ("rgb", "bgr"), "output": ("normalised", "pixels")}


class OnnxLandmarks(OnnxTask):
    """A network that regresses 68 landmarks in a crop around a face.

    The crop is a square with the centre of the face's box and `enlarge` times its longer side. It
    is sampled bilinearly without a low-pass filter and black outside of the image. The box is the
    tight bounding box of the annotated landmarks.
    """

    kind = "onnx-landmarks"
    produces = LANDMARKS
    packages = ("onnxruntime", GPU_PACKAGE)
    options = {
        **FILE,
        "size": Option(int, required=True, low=16, help="side of the network's input in pixels"),
        "channels": Option(str, default="rgb", help="their order in the input: rgb or bgr"),
        "mean": Option(
            float, default=0.0, help="the input is (value - mean) / scale, values 0-255"
        ),
        "scale": Option(float, default=255.0, help="see mean"),
        "enlarge": Option(float, default=1.3, low=0.1, help="side of the crop in sides of the box"),
        "output": Option(
            str,
            default="normalised",
            help="unit of the points: sides of the crop (normalised) or pixels of the input",
        ),
    }

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        super().__init__(name, entry)
        check_choices(name, self.values, CHOICES)
        if self.values["scale"] == 0:
            raise ConfigError(f"task {name!r}: scale: 0 is not allowed, the input is divided by it")

    def load(self, labels: Labels, device: str) -> None:
        """Load the network and run it once on a black crop.

        Raises TaskError where its input does not have side `size`, or its output has fewer than
        2 x 68 values.
        """
        import numpy as np

        self._open(device)
        inputs = self._session.get_inputs()
        size = self.values["size"]
        shape = inputs[0].shape
        fits = len(inputs) == 1 and len(shape) == 4 and all(
            have in (want, None) or isinstance(have, str)  # a name: any size
            for have, want in zip(shape, (1, 3, size, size), strict=True)
        )  # fmt: skip
        if not fits:
            described = ", ".join(f"{each.name} {each.shape}" for each in inputs)
            raise TaskError(f"{self._path()}: one input (1, 3, {size}, {size}) is expected, it has "
                            f"{described}")  # fmt: skip
        self._points(np.zeros((size, size, 3), np.uint8))

    def predict(self, image: Image, faces: Sequence[Sequence[float]]) -> Faces:
        """Landmarks of the faces in boxes x, y, width, height; TaskError as `check_box`."""
        import numpy as np

        found = np.zeros((len(faces), POINTS, 2))
        for number, box in enumerate(faces):
            check_box(box, image)
            corner, side = square_of(box, self.values["enlarge"])
            crop = cut_square(image, corner, side, self.values["size"])
            found[number] = corner + side * self._points(crop)
        return found

    def _points(self, crop: Image) -> NDArray[np.float64]:
        """Landmarks (68, 2) of a crop uint8 (size, size, 3), in units of its side."""
        import numpy as np

        pixels = crop[:, :, ::-1] if self.values["channels"] == "bgr" else crop
        values = (pixels.astype(np.float32) - self.values["mean"]) / self.values["scale"]
        planes = np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)
        output = np.asarray(self._run(planes)[0], np.float64).ravel()
        if output.size < 2 * POINTS:
            raise TaskError(
                f"{self._path()}: {output.size} output values, 68 points need {2 * POINTS}"
            )
        points = output[: 2 * POINTS].reshape(POINTS, 2)
        return points / self.values["size"] if self.values["output"] == "pixels" else points


def square_of(box: Sequence[float], enlarge: float) -> tuple[NDArray[np.float64], float]:
    """Top left corner (x, y) and side, in pixels, of the crop for a box x, y, width, height."""
    import numpy as np

    x, y, width, height = (float(value) for value in box)
    side = enlarge * max(width, height)
    return np.array([x + width / 2 - side / 2, y + height / 2 - side / 2]), side


def cut_square(image: Image, corner: NDArray[np.float64], side: float, size: int) -> Image:
    """Resample a square to uint8 (size, size, 3), bilinearly; black outside of `image`."""
    import numpy as np
    from PIL import Image as PillowImage

    step = side / size
    picture = PillowImage.fromarray(image).transform(
        (size, size),
        PillowImage.Transform.AFFINE,
        (step, 0.0, float(corner[0]), 0.0, step, float(corner[1])),
        PillowImage.Resampling.BILINEAR,
    )
    return np.asarray(picture)
