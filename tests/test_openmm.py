"""Models of mmdet and mmseg: operators, configurations, weights, classes, training targets."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from mmcv_operators import compare_operators
from official import REAL, needs
from PIL import Image as PillowImage
from pycocotools import mask as coco_mask
from yolox_export import CONFIG, yolox_from_onnx

from icmbench.core.errors import ConfigError, DatasetError, ModelError, TaskError
from icmbench.core.files import sha256_file
from icmbench.datasets.scenes import Scenes
from icmbench.models.tensors import save_network
from icmbench.scenes.labels import (
    CATEGORIES,
    IGNORE,
    SEMANTIC_CLASSES,
    STUFF,
    THINGS,
)
from icmbench.tasks.backends import mmcv_ext, openmm
from icmbench.tasks.backends.openmm_task import OpenMMTask, describe_network
from icmbench.tasks.backends.openmm_weights import fill, read_weights
from icmbench.tasks.base import Labels
from icmbench.tasks.kinds.mm_detection import MmDetector
from icmbench.tasks.kinds.mm_segmentation import MmSegmenter
from icmbench.tasks.training import scene_views, train_openmm
from icmbench.training.data import TrainingData, read_training_data
from icmbench.training.loop import Schedule, Session

ROOT = Path(__file__).resolve().parents[1]
LABELS = Labels("scenes", {c["id"]: c["name"] for c in CATEGORIES}, tuple(SEMANTIC_CLASSES))
SIZE = 96
SEGFORMER = "segformer_mit-b0_8xb1-160k_cityscapes-1024x1024"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def libraries() -> str:
    openmm.import_library("mmseg")
    return openmm.import_library("mmdet")


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    folder = tmp_path_factory.mktemp("scenes")
    scenes = Scenes("scenes", {"seed": 5, "size": SIZE, "train": 4, "test": 0}, folder)
    scenes.provide(scenes.image_ids(), folder)
    paths = [path for path in folder.glob("*.png") if ".semantic" not in path.name]
    return read_training_data([("scenes", paths)], smallest=32)


def save(path: Path, package: str, network: torch.nn.Module, scale: int = SIZE) -> Path:
    """A file of ours with a network of the size that is trained here."""
    description = describe_network(package, *train_openmm.model_of(package), scale)
    save_network(path, train_openmm.trained_state(network), description)
    return path


@pytest.fixture(scope="session")
def detector(libraries: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose random things are many: its scores do not start low."""
    network = train_openmm.make_network("mmdet", 3)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for layer in network.bbox_head.rtm_cls:
            layer.bias.fill_(-1.0)
            layer.weight.normal_(0, 0.5, generator=generator)
    return save(tmp_path_factory.mktemp("weights") / "detector.safetensors", "mmdet", network)


def picture(height: int = SIZE, width: int = SIZE) -> np.ndarray:
    coarse = np.random.default_rng(1).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.asarray(PillowImage.fromarray(coarse).resize((width, height)))


@pytest.mark.parametrize("package", ["mmdet", "mmseg"])
def test_folded_norms_leave_the_function(package: str, libraries: str) -> None:
    """With norms that do something: of 1 000 outputs the largest differs in its sixth digit."""
    network = train_openmm.make_network(package, 3).eval()
    generator = torch.Generator().manual_seed(4)
    before_folding = norms(network)
    with torch.no_grad():
        for norm in before_folding:
            for value in (norm.running_mean, norm.bias, norm.weight, norm.running_var):
                value.add_(0.3 * torch.rand(value.shape, generator=generator))
        inputs = torch.randn((1, 3, SIZE, SIZE), generator=generator)
        before = network(inputs, mode="tensor")
        openmm.fold_norms(network)
        after = network(inputs, mode="tensor")
    left = norms(network)
    assert len(left) == len(norms(getattr(network, "bbox_head", torch.nn.Identity())))
    assert len(left) < len(before_folding) / 2
    pairs = list(zip(tensors(before), tensors(after), strict=True))
    assert sum(one.numel() for one, _ in pairs) > 1000
    for one, other in pairs:
        assert float((one - other).abs().max()) < 1e-5 * max(1.0, float(one.abs().max()))
        assert float(one.std()) > 0


def norms(network: torch.nn.Module) -> list[torch.nn.Module]:
    return [m for m in network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]


def tensors(value: object) -> list[torch.Tensor]:
    """All tensors of what a network returns."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for part in value or () for tensor in tensors(part)]


# The stand-in for mmcv's operators.


def greedy(boxes: np.ndarray, scores: np.ndarray, threshold: float, offset: int) -> list[int]:
    """Non-maximum suppression as it is defined, a pair at a time."""
    kept: list[int] = []
    for one in np.argsort(-scores, kind="stable"):
        for other in kept:
            low = np.maximum(boxes[one, :2], boxes[other, :2])
            high = np.minimum(boxes[one, 2:], boxes[other, 2:])
            shared = np.prod(np.maximum(high - low + offset, 0))
            areas = [np.prod(boxes[n, 2:] - boxes[n, :2] + offset) for n in (one, other)]
            if shared / (sum(areas) - shared) > threshold:
                break
        else:
            kept.append(int(one))
    return kept


@pytest.mark.parametrize("offset", [0, 1])
def test_nms_is_the_greedy_suppression(libraries: str, offset: int) -> None:
    from mmcv.ops import nms

    rng = np.random.default_rng(offset)
    suppressed = 0
    for _ in range(60):
        corners = rng.uniform(0, 40, (25, 2))
        boxes = np.hstack([corners, corners + rng.uniform(0, 30, (25, 2))]).astype(np.float32)
        scores, threshold = rng.random(25).astype(np.float32), float(rng.uniform(0.1, 0.9))
        found, kept = nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold, offset)
        assert kept.tolist() == greedy(boxes.astype(float), scores, threshold, offset)
        assert np.array_equal(found[:, :4], boxes[kept])
        assert np.array_equal(found[:, 4], scores[kept])
        suppressed += 25 - len(kept)
        few, first = nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold, offset,
                         score_threshold=0.5, max_num=3)  # fmt: skip
        good = np.flatnonzero(scores > 0.5)
        expected = good[greedy(boxes[good].astype(float), scores[good], threshold, offset)][:3]
        assert first.tolist() == expected.tolist()
        assert len(few) == len(first)
    assert suppressed > 100


def test_batched_nms_leaves_boxes_of_other_classes_alone(libraries: str) -> None:
    from mmcv.ops import batched_nms

    rng = np.random.default_rng(1)
    corners = rng.uniform(-20, 20, (60, 2))
    boxes = np.hstack([corners, corners + rng.uniform(1, 30, (60, 2))]).astype(np.float32)
    scores, labels = rng.random(60).astype(np.float32), rng.integers(0, 3, 60)
    given = (torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(labels))
    _, kept = batched_nms(*given, {"type": "nms", "iou_threshold": 0.3})
    expected: list[int] = []
    for label in range(3):
        own = np.flatnonzero(labels == label)
        expected += own[greedy(boxes[own].astype(float), scores[own], 0.3, 0)].tolist()
    assert kept.tolist() == sorted(expected, key=lambda n: -scores[n])


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("samples", [0, 2])
def test_roi_align_is_torchvisions_with_its_gradient(
    libraries: str, aligned: bool, samples: int
) -> None:
    import torchvision
    from mmcv.ops import roi_align

    generator = torch.Generator().manual_seed(samples)
    corners = torch.rand(9, 2, generator=generator) * 60
    sides = torch.rand(9, 2, generator=generator) * 50
    rois = torch.cat([torch.arange(9)[:, None] % 2, corners, corners + sides], 1).float()
    ours = torch.rand(2, 3, 12, 15, generator=generator, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    one = roi_align(ours, rois, (3, 5), 0.25, samples, "avg", aligned)
    two = torchvision.ops.roi_align(theirs, rois, (3, 5), 0.25, samples or -1, aligned)
    weights = torch.rand(one.shape, generator=generator)
    (one * weights).sum().backward()
    (two * weights).sum().backward()
    assert torch.equal(one, two)
    assert torch.equal(ours.grad, theirs.grad)
    assert float(ours.grad.abs().sum()) > 1


class Other:
    """mmcv's operators, played by the stand-in's; a planted one is wrong."""

    def __init__(self, **planted: object) -> None:
        for name in ("nms", "roi_align_forward", "roi_align_backward"):
            setattr(self, name, planted.get(name, getattr(mmcv_ext, name)))


def test_the_comparison_of_operators_finds_what_is_wrong() -> None:
    """The comparison passes equal operators, and names one that is off by a little."""
    assert [row[2] for row in compare_operators(Other())] == [0, 0]
    with pytest.raises(TaskError, match=r"nms, .*iou_threshold"):
        compare_operators(Other(nms=lambda *boxes, **keys: mmcv_ext.nms(*boxes, **keys).flip(0)))

    def off(
        features: torch.Tensor,
        rois: torch.Tensor,
        output: torch.Tensor,
        *rest: object,
        **keys: object,
    ) -> None:
        mmcv_ext.roi_align_forward(features, rois + 0.01, output, *rest, **keys)

    with pytest.raises(TaskError, match="roi_align"):
        compare_operators(Other(roi_align_forward=off))


def test_roi_align_of_a_ramp_is_its_value_at_the_bins_centres(libraries: str) -> None:
    from mmcv.ops import RoIAlign

    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    ramp = (2 * x - 3 * y)[None, None]
    roi = torch.tensor([[0.0, 40, 30, 160, 110]])
    found = RoIAlign((4, 6), 0.125, 0)(ramp, roi)[0, 0]
    columns = 40 / 8 + (torch.arange(6) + 0.5) * 15 / 6 - 0.5
    rows = 30 / 8 + (torch.arange(4) + 0.5) * 10 / 4 - 0.5
    assert torch.allclose(found, 2 * columns[None] - 3 * rows[:, None], atol=1e-4)


def test_other_operators_say_what_is_missing(libraries: str) -> None:
    from mmcv.ops import roi_align, soft_nms

    boxes, scores = torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([0.5])
    with pytest.raises(TaskError, match=r"'softnms'.*install mmcv"):
        soft_nms(boxes, scores)
    with pytest.raises(TaskError, match=r"'max'.*install mmcv"):
        roi_align(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5), 2, 1.0, 0, "max", True)


def test_a_full_mmcv_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, mmcv_ext.MODULE, raising=False)
    monkeypatch.setattr(mmcv_ext.importlib.util, "find_spec", lambda name: object())
    assert mmcv_ext.ensure_ops() == "mmcv"
    assert mmcv_ext.MODULE not in sys.modules
    monkeypatch.setitem(sys.modules, mmcv_ext.MODULE, ModuleType(mmcv_ext.MODULE))
    assert mmcv_ext.ensure_ops() == "mmcv"


# Configurations.


def test_configurations_are_found_by_name_or_as_files(libraries: str, tmp_path: Path) -> None:
    assert openmm.find_config("mmdet", CONFIG).name == f"{CONFIG}.py"
    assert openmm.find_config("mmseg", train_openmm.SEGMENTER).is_file()
    with pytest.raises(TaskError, match=f"did you mean '{CONFIG}'"):
        openmm.find_config("mmdet", CONFIG.replace("nano", "nanno"))
    own = tmp_path / "own.py"
    with pytest.raises(TaskError, match=r"own\.py: no such file"):
        openmm.find_config("mmdet", str(own))
    own.write_text("model = dict(type='Detector that is not there')\n")
    config = openmm.read_config("mmdet", str(own), {})
    with pytest.raises(TaskError, match="cannot build Detector that is not there"):
        openmm.build_network("mmdet", config)
    own.write_text("1 +\n")
    with pytest.raises(TaskError, match=r"own\.py: mmengine refuses it"):
        openmm.read_config("mmdet", str(own), {})


def test_missing_weights_are_named_with_their_address(libraries: str, tmp_path: Path) -> None:
    for kind, name in ((MmDetector, CONFIG.replace("nano", "tiny")), (MmSegmenter, SEGFORMER)):
        task = kind("t", {"config": name, "checkpoint": str(tmp_path / "weights.pth")})
        text = r"weights\.pth: no such file; `icmbench fetch \w+/.*published as https://.*"
        with pytest.raises(ModelError, match=text + f"{name[:8]}.*pth"):
            task.load(LABELS, "cpu")


def test_nothing_is_downloaded(libraries: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a network is asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for package, name in (
        ("mmdet", "faster-rcnn_r50_fpn_1x_coco"),  # torchvision's weights
        ("mmseg", "pspnet_r18-d8_4xb2-80k_cityscapes-512x1024"),  # open-mmlab's
    ):
        config = openmm.read_config(package, name, {})
        assert "Pretrained" in str(config.model) or config.model.get("pretrained")
        network = openmm.build_network(package, config)
        assert not any(isinstance(m, torch.nn.SyncBatchNorm) for m in network.modules())


def test_deformable_convolutions_are_named(libraries: str) -> None:
    name = "faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco"
    task = MmDetector("dcn", {"config": name, "checkpoint": "random"})
    with pytest.raises(TaskError, match=rf"{name}.*DeformConv2dPack.*install mmcv"):
        task.load(Labels("coco", {1: "person"}, ()), "cpu")


# Weights.


def test_weights_must_be_those_of_the_network(detector: Path, tmp_path: Path) -> None:
    weights = read_weights(detector, None)
    assert weights.classes == THINGS
    network = train_openmm.make_network("mmdet", 1)
    fill(network, weights.state, detector)
    for change, message in (
        ({"neck.more": torch.zeros(1)}, r"1 not the network's \(neck\.more\)"),
        ({"bbox_head.rtm_cls.0.bias": torch.zeros(9)}, r"rtm_cls\.0\.bias \(9,\) for \(8,\)"),
    ):
        with pytest.raises(ModelError, match=message):
            fill(network, {**weights.state, **change}, detector)
    less = {name: value for name, value in weights.state.items() if "neck" not in name}
    with pytest.raises(ModelError, match=r"detector\.safetensors: .* missing \(neck\."):
        fill(network, less, detector)


class Harmless:
    """What mmengine's checkpoints hold beside tensors: some object."""


def test_checkpoints_with_objects_need_their_sha256(detector: Path, tmp_path: Path) -> None:
    state = dict(read_weights(detector, None).state)
    meta = {"dataset_meta": {"CLASSES": list(THINGS)}}
    path = tmp_path / "plain.pth"
    torch.save({"state_dict": state, "meta": meta}, path)
    weights = read_weights(path, None)
    assert weights.classes == THINGS
    assert set(weights.state) == set(state)
    torch.save({"state_dict": state, "meta": meta, "message_hub": Harmless()}, path)
    with pytest.raises(ModelError, match=rf"runs code.*{sha256_file(path)}"):
        read_weights(path, None)
    assert read_weights(path, sha256_file(path).upper()).classes == THINGS
    with pytest.raises(ModelError, match="its sha256 is"):
        read_weights(path, "0" * 64)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"plain\.pth"):
        read_weights(path, None)
    with pytest.raises(ModelError, match="no such file"):
        read_weights(tmp_path / "none.pth", None)


# The tasks.


def loaded(path: Path, labels: Labels = LABELS, **options: object) -> MmDetector:
    task = MmDetector("d", {"checkpoint": str(path), **options})
    task.load(labels, "cpu")
    return task


def test_a_detectors_things_are_the_data_sets(detector: Path) -> None:
    image = picture(72, 96)
    found = loaded(detector).predict(image, ())
    assert len(found.scores) > 5
    assert (np.diff(found.scores) <= 0).all()
    assert set(found.labels) <= set(range(1, 9))
    assert len(set(found.labels)) > 1
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [96, 72, 96, 72]).all()
    assert found.boxes[:, 2].max() > 72  # not of the padded or scaled picture
    assert found.masks is not None
    assert all(coco_mask.decode(mask).shape == (72, 96) for mask in found.masks)
    assert all(isinstance(mask["counts"], str) for mask in found.masks)

    other = {100 - number: name for number, name in LABELS.categories.items() if number != 3}
    fewer = loaded(detector, Labels("other", other, ())).predict(image, ())
    kept = found.labels != 3
    assert 0 < kept.sum() < len(kept)
    assert np.array_equal(fewer.labels, 100 - found.labels[kept])
    assert np.array_equal(fewer.boxes, found.boxes[kept])
    threshold = float(found.scores[3])
    best = loaded(detector, score_threshold=threshold).predict(image, ())
    assert np.array_equal(best.scores, found.scores[found.scores >= threshold])


def test_boxes_are_of_the_picture_whatever_the_networks_size(detector: Path) -> None:
    """At twice the size, brought to one scale, the same things are seen at twice the place."""
    small = picture(64, 96)
    large = np.repeat(np.repeat(small, 2, 0), 2, 1)
    one, two = (loaded(detector, scale=96).predict(p, ()) for p in (small, large))
    assert np.allclose(two.scores[:3], one.scores[:3], atol=0.02)
    assert np.allclose(two.boxes[:3], 2 * one.boxes[:3], atol=1.5)


def test_other_classes_are_refused(detector: Path) -> None:
    with pytest.raises(TaskError, match="zebra"):
        loaded(detector, Labels("zoo", {1: "face", 2: "zebra"}, ()))
    with pytest.raises(TaskError, match="names its classes itself"):
        loaded(detector, classes=["face"])
    task = MmDetector("d", {"config": CONFIG, "checkpoint": "random", "classes": ["a", "b"]})
    with pytest.raises(TaskError, match="tells 80 classes apart, and 2 are named"):
        task.load(Labels("coco", {1: "a"}, ()), "cpu")
    with pytest.raises(ModelError, match="no network of mmseg"):
        MmSegmenter("s", {"checkpoint": str(detector)}).load(LABELS, "cpu")
    with pytest.raises(ConfigError, match="needs the option 'config'"):
        MmDetector("d", {"checkpoint": "random"})


def test_a_segmenters_map_is_of_the_picture_and_the_data_set(
    libraries: str, tmp_path: Path
) -> None:
    path = save(tmp_path / "s.safetensors", "mmseg", train_openmm.make_network("mmseg", 2), 128)
    task = MmSegmenter("s", {"checkpoint": str(path)})
    task.load(LABELS, "cpu")
    image = picture(88, 120)
    found = task.predict(image, ())
    assert found.shape == (88, 120)
    assert found.dtype == np.uint8
    assert len(np.unique(found)) > 1
    turned = Labels("turned", {}, (*SEMANTIC_CLASSES[:0:-1],))  # reversed, without the first
    task.load(turned, "cpu")
    seen = task.predict(image, ())
    expected = len(SEMANTIC_CLASSES) - 1 - found.astype(int)
    assert np.array_equal(seen, np.where(found == 0, 255, expected))


# Training.


def test_views_keep_pixels_masks_and_maps_together(
    pool: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture shows the map's value as grey: wherever it ends up, it says what is there."""
    paths = []
    for path in pool.paths:
        for ending in (".json", ".semantic.png"):
            (tmp_path / f"{path.stem}{ending}").write_bytes(
                path.with_name(path.stem + ending).read_bytes()
            )
        values = np.asarray(PillowImage.open(path.with_name(f"{path.stem}.semantic.png")))
        PillowImage.fromarray(np.stack([values] * 3, -1)).save(tmp_path / path.name)
        paths.append(tmp_path / path.name)
    monkeypatch.setattr(scene_views, "_recolour", lambda pixels, rng: pixels)
    examples = scene_views.Examples(read_training_data([("grey", paths)], smallest=32), 64)
    rng = np.random.default_rng(1)
    things, padded = 0, 0
    for _ in range(30):
        (example,) = examples.draw(rng, 1)
        inside = example.semantic != IGNORE
        flat = example.pixels[..., 0]
        # Where a value's neighbourhood is flat, interpolation changes nothing.
        assert (flat[inside] == example.semantic[inside]).mean() > 0.8
        padded += int((flat[~inside] == scene_views.GREY).sum())
        for label, mask in zip(example.labels, example.masks, strict=True):
            assert (example.semantic[mask] == len(STUFF) + label).mean() > 0.95
            things += 1
    assert things > 30
    assert padded > 1000


def test_boxes_are_the_masks_extent() -> None:
    rng = np.random.default_rng(2)
    masks = rng.random((20, 9, 13)) > 0.93
    masks = masks[masks.any((1, 2))]
    for mask, (x1, y1, x2, y2) in zip(masks, scene_views.boxes_of(masks), strict=True):
        points = [(x, y) for y in range(9) for x in range(13) if mask[y, x]]
        assert (x1, y1) == (min(p[0] for p in points), min(p[1] for p in points))
        assert (x2, y2) == (max(p[0] for p in points) + 1, max(p[1] for p in points) + 1)


@pytest.mark.parametrize("package", ["mmdet", "mmseg"])
def test_training_learns_and_repeats(
    package: str, pool: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two views of one scene at one scale: a loss that does not fall there never will."""
    monkeypatch.setattr(train_openmm, "SETTLING", (2, 4))
    monkeypatch.setattr(scene_views, "SCALES", (0.9, 0.9))
    one_scene = read_training_data([("scene", pool.paths[:1])], smallest=32)
    schedule = Schedule(steps=14, batch=2, learning_rate=5e-3, checkpoint_every=7, ema_decay=0.5)
    runs = []
    for name in ("one", "two") if package == "mmseg" else ("one",):  # of the cheaper one
        session = Session(tmp_path / f"{name}.pt", tmp_path / f"{name}.csv")
        state, metadata = train_openmm.train_openmm(package, schedule, one_scene, 64, session)
        runs.append((state, session.history.read_text()))
    assert runs[0][1] == runs[-1][1]
    assert all(torch.equal(runs[0][0][name], runs[-1][0][name]) for name in runs[0][0])
    rows = [line.split(",") for line in runs[0][1].splitlines()[1:]]
    losses = [float(row[1]) for row in rows]
    assert np.mean(losses[-4:]) < 0.97 * np.mean(losses[:4])
    path = tmp_path / "trained.safetensors"
    save_network(path, state, metadata)
    task = (MmDetector if package == "mmdet" else MmSegmenter)("t", {"checkpoint": str(path)})
    task.load(LABELS, "cpu")
    task.predict(picture(), ())


def test_a_pool_without_annotations_is_refused(pool: TrainingData, tmp_path: Path) -> None:
    path = tmp_path / "lonely.png"
    PillowImage.fromarray(picture()).save(path)
    with pytest.raises(DatasetError, match=r"lonely\.json"):
        scene_views.Examples(read_training_data([("photos", [path])], smallest=32), 64)
    with pytest.raises(ConfigError, match="multiple of 32"):
        train_openmm.train_openmm("mmdet", Schedule(1, 1, 1e-3), pool, 100, Session(path, path))


# Real weights.


@needs(REAL)
def test_published_weights_give_their_outputs_in_mmdet(libraries: str, tmp_path: Path) -> None:
    import onnxruntime

    source = REAL / "weights" / "yolox_nano" / "yolox_nano.onnx"
    network = openmm.build_network("mmdet", openmm.read_config("mmdet", CONFIG, {})).eval()
    fill(network, yolox_from_onnx(source), source)
    photo = PillowImage.open(sorted((REAL / "coco" / "val2017").glob("*.jpg"))[0]).convert("RGB")
    pixels = np.asarray(photo.resize((416, 416)))[:, :, ::-1].astype(np.float32)
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
    (expected,) = onnxruntime.InferenceSession(str(source)).run(None, {"images": planes})
    with torch.no_grad():
        classes, boxes, objects = network(torch.from_numpy(planes), mode="tensor")
    levels = [
        torch.cat([box, thing.sigmoid(), kind.sigmoid()], 1).flatten(2)[0].T
        for kind, box, thing in zip(classes, boxes, objects, strict=True)
    ]
    assert np.abs(torch.cat(levels).numpy() - expected[0]).max() < 1e-3
    assert expected[0, :, 4].max() > 0.3  # it sees something


@needs(REAL)
def test_a_wrong_onnx_file_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    data = (REAL / "weights" / "yolox_nano" / "yolox_nano.onnx").read_bytes()
    broken.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=r"broken\.onnx"):
        yolox_from_onnx(broken)
    other = REAL / "weights" / "peppa_landmark"
    with pytest.raises(ModelError, match="a convolution"):
        yolox_from_onnx(sorted(other.rglob("*.onnx"))[0])


@pytest.fixture(scope="session")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("unseen")
    scenes = Scenes("scenes", {"seed": 1, "size": 256, "train": 0, "val": 4, "test": 0}, folder)
    scenes.provide(scenes.image_ids(), folder)
    return sorted(folder / f"{name}.png" for name in scenes.image_ids())


def bundled(kind: type[OpenMMTask]) -> OpenMMTask:
    if not kind.bundled.is_file():
        pytest.skip(f"{kind.bundled.name} is not bundled")
    assert kind.bundled.stat().st_size < 4 << 20
    task = kind("bundled", {})
    task.load(LABELS, "cpu")
    return task


def test_the_bundled_detector_finds_things_in_scenes_it_has_not_seen(unseen: list[Path]) -> None:
    task = bundled(MmDetector)
    found, total = 0, 0
    for path in unseen:
        seen = task.predict(np.asarray(PillowImage.open(path)), ())
        good = np.flatnonzero(seen.scores > 0.3)
        masks = [seen.masks[number] for number in good]
        for thing in json.loads(path.with_suffix(".json").read_text())["instances"]:
            overlaps = coco_mask.iou(masks, [thing["segmentation"]], [0]) if masks else np.zeros(0)
            right = (np.ravel(overlaps) > 0.5) & (seen.labels[good] == thing["category_id"])
            found += bool(right.any())
            total += 1
    assert total >= 8
    assert found / total > 0.6


def test_the_bundled_segmenter_labels_scenes_it_has_not_seen(unseen: list[Path]) -> None:
    task = bundled(MmSegmenter)
    right, total = 0, 0
    for path in unseen:
        truth = np.asarray(PillowImage.open(path.with_name(f"{path.stem}.semantic.png")))
        seen = task.predict(np.asarray(PillowImage.open(path)), ())
        right += int((seen == truth)[truth != IGNORE].sum())
        total += int((truth != IGNORE).sum())
    assert right / total > 0.8


@pytest.mark.parametrize("kind", [MmDetector, MmSegmenter])
def test_what_is_not_scaled_is_as_if_it_had_been(
    kind: type[OpenMMTask], unseen: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To scale an answer of the picture's size to the picture's size changes none of it."""
    task = bundled(kind)
    with PillowImage.open(unseen[0]) as picture:
        whole = np.asarray(picture.convert("RGB"))
    for image in (whole, whole[:230, :190], whole[16:, :]):
        fast = task.predict(image, ())
        with monkeypatch.context() as inherited:
            name = "_seen" if kind is MmDetector else "_infer"
            inherited.setattr(kind, name, OpenMMTask._infer)
            slow = task.predict(image, ())
        if kind is MmSegmenter:
            assert fast.shape == image.shape[:2]
            np.testing.assert_array_equal(fast, slow)
        else:
            assert len(fast.scores) > 0
            np.testing.assert_array_equal(fast.boxes, slow.boxes)
            np.testing.assert_array_equal(fast.scores, slow.scores)
            assert fast.masks == slow.masks
