"""`onnx-detector`: any exported detector, through ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from icmbench.core.errors import ConfigError, TaskError
from icmbench.datasets.options import Option
from icmbench.tasks.backends.network_input import PIXELS, check_pixels, resize, to_tensor
from icmbench.tasks.backends.onnx_task import FILE, GPU_PACKAGE, OnnxTask, check_choices
from icmbench.tasks.base import INSTANCES, Floats, Image, Instances, Labels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STRIDES: Final = (8, 16, 32)  # of YOLOX's three levels
CHOICES: Final = {"layout": ("yolox", "detr"), "letterbox": ("top-left", "centre", "stretch")}
COCO: Final = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella",
    "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange",
    "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant",
    "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip


class OnnxDetector(OnnxTask):
    """A detector that says boxes and a score per class, in one of two layouts.

    `yolox`: one output (1, N, 5 + C), for every cell of the levels of stride 8, 16 and 32 the box
    (centre relative to the cell, logarithms of width and height, in strides), objectness and class
    scores (Ge et al. 2021, *YOLOX*). A box counts for every class, with objectness x class; of
    boxes of one class that overlap the best stays.

    `detr`: logits (1, Q, C + 1), the last class being none, and boxes (1, Q, 4), centre, width and
    height as shares of the input (Carion et al. 2020, *DETR*, section 3). A box counts for its
    best class, and there are no doubles to suppress.

    What the data set has no category for is dropped.
    """

    kind = "onnx-detector"
    produces = INSTANCES
    packages = ("onnxruntime", GPU_PACKAGE, "torch", "torchvision")
    options = {
        **FILE,
        "layout": Option(str, default="yolox", help="of the output: yolox or detr"),
        "classes": Option(
            object, default="coco", help="names in the network's order; coco: its 80 categories"
        ),
        "size": Option(int, default=416, low=32, help="side of the network's input in pixels"),
        "letterbox": Option(
            str,
            default="top-left",
            help="position of the image in the square input: top-left, centre, or stretch, which "
            "does not keep its proportions",
        ),
        "pad": Option(int, default=114, low=0, help="value of the pixels around it"),
        **PIXELS,
        "score_threshold": Option(float, default=0.01, low=0.0, help="boxes below are dropped"),
        "nms": Option(
            float, default=0.65, low=0.0, help="IoU above which the better box of a class stays; "
            "layout yolox alone"
        ),
        "max_boxes": Option(int, default=100, low=1, help="number of best boxes kept per image"),
    }  # fmt: skip

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        import numpy as np

        super().__init__(name, entry)
        check_choices(name, self.values, CHOICES)
        check_pixels(f"task {name!r}", self.values)
        if self.values["layout"] == "yolox" and self.values["size"] % STRIDES[-1]:
            raise ConfigError(f"task {name!r}: size={self.values['size']} is no multiple of 32")
        if self.values["pad"] > 255:
            raise ConfigError(f"task {name!r}: pad={self.values['pad']} is above 255")
        self.classes = class_names(name, self.values["classes"])
        self._ids = np.zeros(0, np.int64)

    def load(self, labels: Labels, device: str) -> None:
        """Read the network and try it on a grey image.

        Raises TaskError where it knows other classes than the data set or than `classes` lists,
        ModelError where the file is missing, damaged or of another layout or size.
        """
        import numpy as np

        self._ids = np.array(labels.category_ids(self.classes, f"task {self.name!r}"), np.int64)
        self._open(device)
        size = self.values["size"]
        self._decoded(np.full((size, size, 3), 128, np.uint8))

    def predict(self, image: Image, given: Sequence[Any]) -> Instances:
        """The boxes found in an image uint8 (H, W, 3), inside it, by falling score."""
        import numpy as np

        height, width = image.shape[:2]
        square, scale, offset = letterbox(
            image, self.values["size"], self.values["letterbox"], self.values["pad"]
        )
        boxes, scores = self._decoded(square)
        boxes = (boxes - np.tile(offset, 2)) / np.tile(scale, 2)
        box, chosen = np.nonzero((scores > self.values["score_threshold"]) & (self._ids >= 0))
        order = np.argsort(-scores[box, chosen], kind="stable")
        box, chosen = box[order], chosen[order]
        if self.values["layout"] == "yolox":
            kept = suppress(boxes[box], scores[box, chosen], chosen, self.values["nms"])
            box, chosen = box[kept], chosen[kept]
        found = np.clip(boxes[box], 0, [width, height, width, height])
        inside = (found[:, 2:] > found[:, :2]).all(axis=1)
        best = np.flatnonzero(inside)[: self.values["max_boxes"]]
        box, chosen = box[best], chosen[best]
        return Instances(found[best], scores[box, chosen], self._ids[chosen])

    def _decoded(self, square: Image) -> tuple[Floats, Floats]:
        """Boxes x1 y1 x2 y2 (N, 4) in pixels of the input, scores (N, C)."""
        outputs = self._run(to_tensor(square, self.values))
        decode = decode_yolox if self.values["layout"] == "yolox" else decode_detr
        try:
            return decode(outputs, self.values["size"], len(self.classes))
        except TaskError as error:
            raise TaskError(f"{self._path()}: {error}") from error


def class_names(task: str, value: object) -> tuple[str, ...]:
    """The option `classes`: a list of names, or `coco`; ConfigError for anything else."""
    if value == "coco":
        return COCO
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ConfigError(f"task {task!r}: classes={value!r} is neither coco nor a list of names")
    if not value or len(set(value)) != len(value):
        raise ConfigError(f"task {task!r}: classes are {len(value)} names, {len(set(value))} kinds")
    return tuple(value)


def letterbox(image: Image, size: int, where: str, pad: int) -> tuple[Image, Floats, Floats]:
    """An image laid into a square: uint8 (size, size, 3), its scale (x, y), its corner (x, y)."""
    import numpy as np

    height, width = image.shape[:2]
    scale = np.array([size / width, size / height])
    if where != "stretch":
        scale[:] = scale.min()
    inner_w, inner_h = (max(1, int(side + 1e-9)) for side in scale * (width, height))
    left, top = ((size - inner_w) // 2, (size - inner_h) // 2) if where == "centre" else (0, 0)
    square = np.full((size, size, 3), pad, np.uint8)
    square[top : top + inner_h, left : left + inner_w] = resize(image, inner_h, inner_w)
    return square, scale, np.array([left, top], np.float64)


def decode_yolox(
    outputs: Sequence[NDArray[np.float32]], size: int, classes: int
) -> tuple[Floats, Floats]:
    """Boxes and scores of an output (1, N, 5 + C); TaskError where it is of another shape."""
    import numpy as np

    cells = [np.mgrid[: size // step, : size // step].reshape(2, -1).T for step in STRIDES]
    shape = (1, sum(map(len, cells)), 5 + classes)
    if len(outputs) != 1 or outputs[0].shape != shape:
        found = ", ".join(str(output.shape) for output in outputs)
        raise TaskError(f"the outputs have the shapes {found}, expected {shape}")
    raw = outputs[0][0].astype(np.float64)
    step = np.repeat(STRIDES, [len(each) for each in cells])[:, None]
    centre = (raw[:, :2] + np.concatenate(cells)[:, ::-1]) * step
    half = np.exp(raw[:, 2:4]) * step / 2
    return np.concatenate([centre - half, centre + half], axis=1), raw[:, 4:5] * raw[:, 5:]


def decode_detr(
    outputs: Sequence[NDArray[np.float32]], size: int, classes: int
) -> tuple[Floats, Floats]:
    """Boxes, and scores (0 but for the best class), of logits (1, Q, C + 1) and boxes (1, Q, 4).

    TaskError where the first two outputs are of other shapes.
    """
    import numpy as np

    shapes = [output.shape for output in outputs[:2]]
    count = shapes[0][1] if shapes and len(shapes[0]) == 3 else 0
    if shapes != [(1, count, classes + 1), (1, count, 4)]:
        raise TaskError(
            f"the outputs have the shapes {shapes}, expected (1, Q, {classes + 1}) and (1, Q, 4)"
        )
    logits, boxes = (output[0].astype(np.float64) for output in outputs[:2])
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores = (powers / powers.sum(axis=1, keepdims=True))[:, :-1]
    scores[np.arange(classes) != scores.argmax(axis=1)[:, None]] = 0
    centre, half = boxes[:, :2] * size, boxes[:, 2:] * size / 2
    return np.concatenate([centre - half, centre + half], axis=1), scores


def suppress(boxes: Floats, scores: Floats, labels: NDArray[np.int64], iou: float) -> NDArray[Any]:
    """Places of the boxes that no better one of their class overlaps by more than `iou`."""
    import numpy as np
    import torch
    from torchvision.ops import batched_nms

    tensors = [torch.from_numpy(np.ascontiguousarray(each)) for each in (boxes, scores, labels)]
    places: NDArray[Any] = batched_nms(*tensors, iou).numpy()
    return places
