"""Exported networks: what a layout means, and the published ones against a second reading."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_picture
from official import REAL, needs
from task_checks import evaluate

from icmbench.core.errors import ConfigError, ModelError, TaskError
from icmbench.core.files import sha256_file
from icmbench.core.images.image_files import read_image
from icmbench.tasks.backends.espnet_network import EspNet
from icmbench.tasks.backends.network_input import resize, to_tensor
from icmbench.tasks.base import Labels
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.kinds.onnx_detector import COCO, letterbox
from icmbench.tasks.metrics.segmentation_metrics import NO_CLASS
from icmbench.tasks.registry import make_task

YOLOX = REAL / "weights" / "yolox_nano" / "yolox_nano.onnx"
BOXES = REAL / "coco" / "annotations" / "boxes_val2017.json"
ESPNET = REAL / "weights/espnet/pretrained/decoder/espnet_p_2_q_8_camvid.pth"
CAMVID = REAL / "camvid59"

real_detector = needs(YOLOX, BOXES)
real_segmenter = needs(ESPNET, CAMVID)


# ONNX files of a few nodes, written field by field: nothing else needs the package onnx


def varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def field(number: int, value: int | bytes | str) -> bytes:
    """A field of a protobuf message: a whole number, or bytes (text, another message)."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(name: str, values: np.ndarray) -> bytes:
    kinds = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}
    dims = b"".join(field(1, side) for side in values.shape)
    return dims + field(2, kinds[values.dtype]) + field(8, name) + field(9, values.tobytes())


def port(name: str, shape: Sequence[int | str]) -> bytes:
    """A float32 input or output; a side that is a text may have any length."""
    sides = b"".join(field(1, field(1 if isinstance(side, int) else 2, side)) for side in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, sides)))


def node(kind: str, inputs: Sequence[str], output: str, **lists: list[int]) -> bytes:
    content = b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, kind)
    for name, values in lists.items():
        ints = b"".join(field(8, value) for value in values)
        content += field(5, field(1, name) + ints + field(20, 7))
    return content


def write_onnx(
    path: Path,
    nodes: Sequence[bytes],
    constants: dict[str, np.ndarray],
    size: Sequence[int | str],
    outputs: dict[str, Sequence[int | str]],
) -> Path:
    """A network with the input `x`, (1, 3, *size)."""
    graph = b"".join(field(1, each) for each in nodes) + field(2, "g")
    graph += b"".join(field(5, tensor(name, values)) for name, values in constants.items())
    graph += field(11, port("x", (1, 3, *size)))
    graph += b"".join(field(12, port(name, shape)) for name, shape in outputs.items())
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13)))
    return path


def constant_network(path: Path, size: int, outputs: Sequence[np.ndarray]) -> Path:
    """Says the same of every picture."""
    names = [f"out{place}" for place in range(len(outputs))]
    return write_onnx(
        path,
        [node("Identity", [f"c{name}"], name) for name in names],
        {f"c{name}": each.astype(np.float32) for name, each in zip(names, outputs, strict=True)},
        (size, size),
        {name: each.shape for name, each in zip(names, outputs, strict=True)},
    )


CLASSES = ["cat", "dog", "owl"]
LABELS = Labels("pets", {5: "owl", 90: "cat"}, ("owl", "cat"))


def detector(path: Path, **entry: Any) -> Any:
    task = make_task("boxes", {"type": "onnx-detector", "model": str(path), "classes": CLASSES,
                               "size": 64, **entry})  # fmt: skip
    task.load(LABELS, "cpu")
    return task


def iou(first: Sequence[float], second: Sequence[float]) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    both = max(width, 0) * max(height, 0)
    sizes = [(b[2] - b[0]) * (b[3] - b[1]) for b in (first, second)]
    return both / (sum(sizes) - both)


def plain(
    boxes: Sequence[tuple[float, list[float], int]],
    to_picture: Callable[[float, float], tuple[float, float]],
    shape: tuple[int, int],
    most: int,
    nms: float | None,
) -> list[tuple[float, list[float], int]]:
    """Suppression, clipping and counting, box by box: score, x1 y1 x2 y2 in the input, class."""
    kept: list[tuple[float, list[float], int]] = []
    for score, box, label in sorted(boxes, key=lambda each: -each[0]):
        if nms is None or all(iou(box, b) <= nms for _, b, other in kept if other == label):
            kept.append((score, box, label))
    found = []
    for score, box, label in kept:
        x1, y1 = to_picture(box[0], box[1])
        x2, y2 = to_picture(box[2], box[3])
        x1, x2 = (min(max(x, 0), shape[1]) for x in (x1, x2))
        y1, y2 = (min(max(y, 0), shape[0]) for y in (y1, y2))
        if x2 > x1 and y2 > y1:
            found.append((score, [x1, y1, x2, y2], label))
    return found[:most]


def same_boxes(found: Any, expected: Sequence[tuple[float, list[float], int]]) -> None:
    assert len(expected) == len(found.scores)
    np.testing.assert_allclose(found.scores, [each[0] for each in expected], rtol=1e-6)
    np.testing.assert_allclose(found.boxes, [each[1] for each in expected], rtol=0, atol=1e-4)
    assert found.labels.tolist() == [each[2] for each in expected]


PLACES = {  # picture of 100 x 60 in a square of 64: scale 0.64, 38 rows
    "top-left": lambda x, y: (x / 0.64, y / 0.64),
    "centre": lambda x, y: (x / 0.64, (y - 13) / 0.64),
    "stretch": lambda x, y: (x / 0.64, y / (64 / 60)),
}


@pytest.mark.parametrize("where", PLACES)
def test_yolox_layout_is_read_cell_by_cell(tmp_path: Path, where: str) -> None:
    """Against loops over levels, rows and columns; owl is 5, cat 90, dog no category."""
    rng = np.random.default_rng(len(where))
    raw = rng.normal(0, 1, (1, 84, 8)).astype(np.float32)
    raw[0, :, 4:] = rng.random((84, 4))
    boxes, row = [], 0
    for step in (8, 16, 32):
        for y in range(64 // step):
            for x in range(64 // step):
                dx, dy, w, h, sure, *classes = raw[0, row].tolist()
                middle_x, middle_y = (x + dx) * step, (y + dy) * step
                half_w, half_h = np.exp(w) * step / 2, np.exp(h) * step / 2
                box = [middle_x - half_w, middle_y - half_h, middle_x + half_w, middle_y + half_h]
                for label, share in zip((90, None, 5), classes, strict=True):
                    if label is not None and sure * share > 0.2:
                        boxes.append((sure * share, box, label))
                row += 1
    path = constant_network(tmp_path / "net.onnx", 64, [raw])
    task = detector(path, letterbox=where, score_threshold=0.2, nms=0.5, max_boxes=15)
    found = task.predict(make_picture(60, 100), [])
    expected = plain(boxes, PLACES[where], (60, 100), 15, 0.5)
    assert len(expected) == 15 < len(plain(boxes, PLACES[where], (60, 100), 99, 0.5)) < len(boxes)
    same_boxes(found, expected)
    assert found.masks is None


def test_detr_layout_is_read_query_by_query(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    logits = rng.normal(0, 2, (1, 40, 4)).astype(np.float32)
    shares = rng.uniform(0.05, 0.6, (1, 40, 4)).astype(np.float32)
    boxes = []
    for query in range(40):
        powers = np.exp(logits[0, query].astype(float))
        chances = (powers / powers.sum())[:3]
        best = int(np.argmax(chances))
        x, y, w, h = 64 * shares[0, query].astype(float)
        if best != 1 and chances[best] > 0.1:
            label = 90 if best == 0 else 5
            box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
            boxes.append((float(chances[best]), box, label))
    path = constant_network(tmp_path / "net.onnx", 64, [logits, shares])
    task = detector(path, layout="detr", score_threshold=0.1)
    expected = plain(boxes, PLACES["top-left"], (60, 100), 100, None)
    assert 5 < len(expected) <= len(boxes)
    same_boxes(task.predict(make_picture(60, 100), []), expected)


def test_detr_says_what_it_sees(tmp_path: Path) -> None:
    """A network that looks: the mean colour decides the class, in the order of the channels."""
    weights = np.kron(np.eye(3, 4), np.ones((1, 1))).astype(np.float32) * 20
    path = write_onnx(
        tmp_path / "net.onnx",
        [node("ReduceMean", ["x"], "mean", axes=[2, 3]),
         node("Reshape", ["mean", "flat"], "row"),
         node("MatMul", ["row", "w"], "scores"),
         node("Reshape", ["scores", "shape"], "logits"),
         node("Identity", ["b"], "boxes")],
        {"w": weights, "flat": np.array([1, 3]), "shape": np.array([1, 1, 4]),
         "b": np.full((1, 1, 4), 0.25, np.float32)},
        ("height", "width"),
        {"logits": (1, 1, 4), "boxes": (1, 1, 4)},
    )  # fmt: skip
    red = np.zeros((64, 64, 3), np.uint8)
    red[:, :, 0] = 255
    options = {"layout": "detr", "scale": 255.0}
    for channels, label in (("rgb", 90), ("bgr", 5)):
        found = detector(path, channels=channels, **options).predict(red, [])
        assert found.labels.tolist() == [label]
        assert found.scores[0] > 0.99
        np.testing.assert_allclose(found.boxes, [[8, 8, 24, 24]])


def test_a_decoder_names_shapes_that_do_not_fit(tmp_path: Path) -> None:
    raw = np.zeros((1, 84, 8), np.float32)
    cases: list[tuple[list[np.ndarray], dict[str, Any]]] = [
        ([raw], {"classes": [*CLASSES, "eel"]}),
        ([raw], {"size": 96}),
        ([raw, raw], {}),
        ([raw], {"layout": "detr"}),
        ([raw[:, :, :4], raw[:, :, :4]], {}),
        ([raw[:, :, :4], raw[:, :80, :4]], {"layout": "detr"}),
    ]
    for number, (outputs, entry) in enumerate(cases):
        path = constant_network(tmp_path / f"{number}.onnx", entry.get("size", 64), outputs)
        with pytest.raises(TaskError, match=rf"{path}: the outputs have the shapes .*expected"):
            detector(path, **entry)
    path = constant_network(tmp_path / "small.onnx", 32, [raw])
    with pytest.raises(ModelError, match=rf"{path}: it does not take float32 \(1, 3, 64, 64\)"):
        detector(path)


def test_files_and_classes_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path = constant_network(tmp_path / "net.onnx", 64, [np.zeros((1, 84, 8))])
    detector(path, sha256=sha256_file(path))
    with pytest.raises(ModelError, match=rf"{path}: its sha256"):
        detector(path, sha256="0" * 64)
    with pytest.raises(ModelError, match=r"none\.onnx: no such file"):
        detector(tmp_path / "none.onnx")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelError, match=rf"{path}: ONNX Runtime cannot read it"):
        detector(path)
    task = make_task("boxes", {"type": "onnx-detector", "model": str(path), "classes": CLASSES})
    with pytest.raises(TaskError, match=r"'boxes' knows 3 classes .* 'seas' has eel"):
        task.load(Labels("seas", {1: "cat", 2: "eel"}, ()), "cpu")
    with pytest.raises(TaskError, match="no COCO categories"):
        task.load(Labels("roads", {}, ("sky",)), "cpu")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"size": 100}, "size=100 is no multiple of 32"),
        ({"layout": "ssd"}, "layout='ssd' is none of yolox, detr"),
        ({"letterbox": "middle"}, "letterbox='middle'"),
        ({"channels": "gbr"}, "channels='gbr'"),
        ({"mean": [1, 2]}, "mean=.* is not three numbers"),
        ({"mean": [1, 2, "3"]}, "mean=.* is not three numbers"),
        ({"std": [1, 0, 1]}, "std and scale cannot be 0"),
        ({"scale": 0}, "std and scale cannot be 0"),
        ({"classes": "voc"}, "neither coco nor a list"),
        ({"classes": ["a", "a"]}, "2 names, 1 kinds"),
        ({"classes": []}, "0 names"),
        ({"pad": 256}, "pad=256"),
        ({"score_threshold": -1}, "below 0"),
        ({"max_boxes": 2.5}, "not of type int"),
    ],
)
def test_wrong_options_are_named(entry: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=f"task 'boxes'.*{reason}"):
        make_task("boxes", {"type": "onnx-detector", "model": "x.onnx", **entry})
    assert len(set(COCO)) == 80


def test_pictures_become_inputs() -> None:
    """(value - mean) / std / scale per channel; resizing is OpenCV's, but rounded."""
    import cv2

    picture = make_picture(37, 52)
    values = {"channels": "bgr", "mean": [10, 20, 30], "std": [2, 4, 8], "scale": 255.0}
    planes = to_tensor(picture, values)
    assert planes.dtype == np.float32
    assert planes.shape == (1, 3, 37, 52)
    for plane, (channel, mean, std) in enumerate([(2, 10, 2), (1, 20, 4), (0, 30, 8)]):
        expected = (picture[:, :, channel].astype(float) - mean) / std / 255
        np.testing.assert_allclose(planes[0, plane], expected, atol=1e-6)
    for height, width in ((20, 31), (37, 52), (74, 80), (9, 200)):
        mine = resize(picture, height, width)
        size = (width, height)
        exact = cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        assert np.abs(mine - exact).max() < 0.501
        theirs = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
        assert np.abs(mine.astype(int) - theirs).max() <= 1
    square, scale, corner = letterbox(picture, 64, "centre", 7)
    assert scale.tolist() == [64 / 52, 64 / 52]
    assert corner.tolist() == [0, 9]
    assert (square[:9] == 7).all()
    assert (square[54:] == 7).all()
    assert not (square[9:54] == 7).all(axis=(1, 2)).any()


# Segmenters


def colour_network(path: Path, size: Sequence[int | str], pool: bool) -> Path:
    """Scores red, green, blue; at half the size where `pool`."""
    nodes = [node("Conv", ["x", "w"], "fine" if pool else "out")]
    if pool:
        nodes.append(node("AveragePool", ["fine"], "out", kernel_shape=[2, 2], strides=[2, 2]))
    weights = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    return write_onnx(path, nodes, {"w": weights}, size, {"out": (1, 3, "h", "w")})


def segmenter(path: Path, **entry: Any) -> Any:
    task = make_task("pixels", {"type": "onnx-segmenter", "model": str(path),
                                "classes": ["cat", "dog", "owl"], **entry})  # fmt: skip
    task.load(LABELS, "cpu")
    return task


def test_a_pixel_has_the_class_of_its_highest_score(tmp_path: Path) -> None:
    path = colour_network(tmp_path / "net.onnx", ("h", "w"), pool=False)
    picture = make_picture(31, 45)
    best = picture.astype(int).argmax(axis=2)
    expected = np.array([1, NO_CLASS, 0])[best]  # cat is 1 in the maps, owl 0, dog nothing
    found = segmenter(path).predict(picture, [])
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
    turned = segmenter(path, channels="bgr").predict(picture, [])
    best = picture[:, :, ::-1].astype(int).argmax(axis=2)
    np.testing.assert_array_equal(turned, np.array([1, NO_CLASS, 0])[best])
    greener = segmenter(path, mean=[0, -1000, 0], scale=3).predict(picture, [])
    assert (greener == NO_CLASS).all()


def test_scores_of_another_size_are_brought_to_the_pictures(tmp_path: Path) -> None:
    """A network of a fixed input that answers at half the size: bilinear there and back."""
    path = colour_network(tmp_path / "net.onnx", (32, 48), pool=True)
    picture = make_picture(61, 90)
    scores = torch.nn.functional.avg_pool2d(
        torch.from_numpy(to_tensor(resize(picture, 32, 48), {
            "channels": "rgb", "mean": [0, 0, 0], "std": [1, 1, 1], "scale": 1,
        })), 2
    )  # fmt: skip
    large = torch.nn.functional.interpolate(scores, (61, 90), mode="bilinear")
    expected = np.array([1, NO_CLASS, 0])[large[0].argmax(0).numpy()]
    np.testing.assert_array_equal(segmenter(path, size=[32, 48]).predict(picture, []), expected)
    with pytest.raises(ModelError, match=rf"{path}: it does not take float32 \(1, 3, 48, 32\)"):
        segmenter(path, size=[48, 32])
    with pytest.raises(TaskError, match=rf"{path}: the output has the shape .*\(1, 2, h, w\)"):
        segmenter(path, classes=["cat", "owl"])
    with pytest.raises(TaskError, match=r"'pets' has owl"):
        segmenter(path, classes=["cat", "dog", "eel"])
    for size in ([32], [32, 0], [32.0, 48]):
        with pytest.raises(ConfigError, match="not \\[height, width\\]"):
            segmenter(path, size=size)


# ESPNet


def espnet_file(path: Path, classes: int = 5) -> Path:
    """Random weights of a short network, as the authors' files name and keep them."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = EspNet(classes, (1, 2))
        for name, buffer in network.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.uniform_(0.5, 1.5)
    state = {k: v for k, v in network.state_dict().items() if "num_batches" not in k}
    torch.save(state, path)
    return path


def espnet(path: Path, **entry: Any) -> Any:
    names = ["cat", "dog", "owl", "emu", "ant"]
    task = make_task(
        "roads", {"type": "espnet", "checkpoint": str(path), "classes": names, **entry}
    )
    task.load(LABELS, "cpu")
    return task


def test_espnet_takes_pictures_of_any_size(tmp_path: Path) -> None:
    task = espnet(espnet_file(tmp_path / "net.pth"))
    picture = make_picture(43, 61)
    found = task.predict(picture, [])
    assert (found.dtype, found.shape) == (np.uint8, (43, 61))
    assert set(np.unique(found)) <= {0, 1, NO_CLASS}
    wider = np.pad(picture, ((0, 5), (0, 3), (0, 0)), mode="edge")
    np.testing.assert_array_equal(task.predict(wider, [])[:43, :61], found)
    np.testing.assert_array_equal(task.predict(picture, []), found)
    assert task.predict(make_picture(1, 1), []).shape == (1, 1)


def test_espnet_refuses_weights_of_another_network(tmp_path: Path) -> None:
    path = espnet_file(tmp_path / "net.pth")
    state = torch.load(path, weights_only=True)
    name = "encoder.level3.1.d4.conv.weight"
    for broken, reason in (
        ({k: v for k, v in state.items() if k != name}, name),
        ({**state, "extra.weight": torch.zeros(1)}, "extra.weight"),
        ({**state, name: state[name][:, :1]}, name),
    ):
        torch.save(broken, tmp_path / "broken.pth")
        with pytest.raises(ModelError, match=rf"broken\.pth: .*{reason}"):
            espnet(tmp_path / "broken.pth")
    with pytest.raises(TaskError, match="tells 5 classes, `classes` lists 2"):
        espnet(path, classes=["cat", "owl"])
    with pytest.raises(ModelError, match="its sha256 is"):
        espnet(path, sha256="1" * 64)
    with pytest.raises(ModelError, match="no such file"):
        espnet(tmp_path / "none.pth")
    torch.save({**state, "code": Planted()}, tmp_path / "code.pth")
    with pytest.raises(ModelError, match=r"code\.pth"):
        espnet(tmp_path / "code.pth", sha256=sha256_file(tmp_path / "code.pth"))


class Planted:
    """Unpickling it would run code."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("code of a file of weights was run",))


# The published networks


def coco(first: int) -> tuple[Truth, dict[str, np.ndarray]]:
    instances = json.loads(BOXES.read_text())
    for entry in instances["images"]:
        entry["image"] = Path(entry["file_name"]).stem
    chosen = sorted(instances["images"], key=lambda entry: entry["image"])[:first]
    folder = REAL / "coco" / "val2017"
    pictures = {each["image"]: read_image(folder / each["file_name"])[0] for each in chosen}
    return Truth(instances=instances), pictures


def plain_yolox(picture: np.ndarray, session: Any) -> list[tuple[float, list[float], int]]:
    """YOLOX's own way from picture to boxes, with OpenCV and loops: 416, BGR, 0.01, 0.65."""
    import cv2

    height, width = picture.shape[:2]
    ratio = min(416 / height, 416 / width)
    square = np.full((416, 416, 3), 114, np.uint8)
    small = cv2.resize(picture[:, :, ::-1], (int(width * ratio), int(height * ratio)))
    square[: small.shape[0], : small.shape[1]] = small
    raw = session.run(None, {"images": square.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
    boxes, row = [], 0
    for step in (8, 16, 32):
        for y in range(416 // step):
            for x in range(416 // step):
                middle = [(x + raw[row, 0]) * step, (y + raw[row, 1]) * step]
                half = np.exp(raw[row, 2:4]) * step / 2
                box = [float(v) for v in (*(middle - half), *(middle + half))]
                scores = raw[row, 4] * raw[row, 5:]
                boxes += [(float(scores[c]), box, int(c)) for c in np.flatnonzero(scores > 0.01)]
                row += 1
    return plain(boxes, lambda x, y: (x / ratio, y / ratio), (height, width), 100, 0.65)


@real_detector
def test_yolox_finds_what_its_own_way_finds() -> None:
    from icmbench.tasks.backends.onnx_task import open_session

    truth, pictures = coco(3)
    seen = 0
    task = make_task("boxes", {"type": "onnx-detector", "model": str(YOLOX), "channels": "bgr"})
    labels = truth.labels("coco2017")
    task.load(labels, "cpu")
    numbers = labels.category_ids(COCO, "YOLOX")
    assert min(numbers) > 0
    session, _ = open_session(YOLOX, None)
    for picture in pictures.values():
        found = task.predict(picture, [])
        sure = found.scores > 0.1
        expected = [each for each in plain_yolox(picture, session) if each[0] > 0.1]
        assert sure.sum() == len(expected)
        seen += len(expected)
        for score, box, label in expected:
            near = [
                np.abs(found.boxes[place] - box).max()
                for place in np.flatnonzero(sure & (found.labels == numbers[label]))
                if abs(found.scores[place] - score) < 0.02
            ]
            assert min(near) < 1.5  # pixels; resizing rounds differently
    assert seen > 10


@real_detector
def test_yolox_is_as_good_as_published() -> None:
    """mAP 0.34, AP50 0.50 on 127 images; on the first 20 of them about as much."""
    truth, pictures = coco(20)
    task = make_task("boxes", {"type": "onnx-detector", "model": str(YOLOX), "channels": "bgr"})
    task.load(truth.labels("coco2017"), "cpu")
    rows = dict(evaluate(pictures, task, truth))
    assert rows["box_map"] > 0.3
    assert rows["box_map50"] > 0.45
    coarse = {name: picture // 64 * 64 for name, picture in pictures.items()}
    assert dict(evaluate(coarse, task, truth))["box_map"] < rows["box_map"] - 0.05


@real_segmenter
def test_espnet_is_as_good_as_published() -> None:
    """mIoU 0.56 on every other of 59 frames; wrong channels and wrong classes cost much."""
    names = [line.split(" ", 1)[1] for line in (CAMVID / "classes.txt").read_text().splitlines()]
    frames = sorted(path.stem for path in (CAMVID / "images").glob("*.png"))[::15]
    maps = {name: CAMVID / "labels" / f"{name}.png" for name in frames}
    truth = Truth(classes=tuple(names[:11]), maps=maps, ignore=11)
    pictures = {name: read_image(CAMVID / "images" / f"{name}.png")[0] for name in frames}

    def miou(**entry: Any) -> float:
        task = make_task("roads", {"type": "espnet", "checkpoint": str(ESPNET), "classes": names,
                                   **entry})  # fmt: skip
        task.load(truth.labels("camvid"), "cpu")
        return dict(evaluate(pictures, task, truth))["miou"]

    right = miou()
    assert right > 0.5
    assert miou(channels="rgb") < right - 0.01
    pictures = {frames[0]: pictures[frames[0]]}
    assert miou(classes=[*names[1:11], names[0], names[11]]) < 0.1
