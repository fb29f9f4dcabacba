"""Image classification: the network, its inputs, the stored answers, their metrics and drawing."""

from __future__ import annotations

import functools
import json
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from conftest import make_picture
from figure_checks import assert_no_overlap, words
from matplotlib.patches import Rectangle
from official import REAL, needs
from PIL import Image as PillowImage
from task_checks import as_stored
from torchvision import models
from torchvision.transforms.functional import center_crop, normalize, resize

from icmbench.classifier import lite0_weights
from icmbench.classifier.efficientnet_lite import EfficientNetLite0, folded, load_lite0
from icmbench.config.load import complete
from icmbench.config.run import make_run
from icmbench.core.errors import ConfigError, MeasurementError, ModelError, TaskError
from icmbench.core.images.image_files import read_image
from icmbench.datasets.registry import make_dataset
from icmbench.metrics import available
from icmbench.metrics.feature_distance import stage_distances
from icmbench.metrics.meter import Meter
from icmbench.metrics.picture import Picture
from icmbench.reporting.figures.predicted import Predicted
from icmbench.reporting.figures.task_pictures import task_pictures
from icmbench.reporting.tables.task_comparisons import Scored, Settings
from icmbench.reporting.tables.tasks import score_task
from icmbench.tasks import store
from icmbench.tasks.answers import answer_of
from icmbench.tasks.answers.class_scores import ClassScores, best_classes
from icmbench.tasks.backends import classifier
from icmbench.tasks.backends.classifier_input import centre_crop, grid_crops
from icmbench.tasks.base import ORIGINALS, Labels
from icmbench.tasks.evaluate import Truth, evaluator
from icmbench.tasks.kinds.classification import Classification
from icmbench.tasks.metrics.classification_metrics import (
    ClassificationEvaluator,
    cosine_distance,
    divergence,
)

NOTHING = Labels("x", {}, ())
METRICS = (
    "top1_agreement", "top5_agreement", "top1_accuracy", "top5_accuracy", "class_kl",
    "feature_cosine",
)  # fmt: skip


@functools.cache
def state() -> dict[str, torch.Tensor]:
    """The tensors of the published file."""
    path = lite0_weights.lite0_file()
    assert path is not None
    return torch.load(path, weights_only=True)


@functools.cache
def lite0() -> EfficientNetLite0:
    return load_lite0()


def loaded(labels: Labels = NOTHING, **entry: Any) -> Classification:
    task = Classification("classes", entry)
    task.load(labels, "cpu")
    return task


# The network.


def same(x: torch.Tensor, weight: torch.Tensor, stride: int = 1, groups: int = 1) -> torch.Tensor:
    """TensorFlow's SAME: as many zeros as reach the last cell, the odd one behind."""
    side = weight.shape[-1]
    before, after = [], []
    for length in x.shape[-2:]:
        total = (int(np.ceil(length / stride)) - 1) * stride + side - length
        before.append(max(total, 0) // 2)
        after.append(max(total, 0) - max(total, 0) // 2)
    return F.conv2d(F.pad(x, (before[1], after[1], before[0], after[0])), weight, None, stride,
                    groups=groups)  # fmt: skip


def written_out(x: torch.Tensor) -> torch.Tensor:
    """Logits from the file's tensors: strides by number of block, shapes from the tensors."""
    tensors = state()

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, var, scale, shift = (
            tensors[f"{name}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + 0.001) * scale + shift

    x = norm(same(x, tensors["_conv_stem.weight"], 2), "_bn0").clamp(0, 6)
    for number in range(16):
        name, begin = f"_blocks.{number}", x
        if f"{name}._expand_conv.weight" in tensors:
            x = norm(same(x, tensors[f"{name}._expand_conv.weight"]), f"{name}._bn0").clamp(0, 6)
        weight = tensors[f"{name}._depthwise_conv.weight"]
        stride = 2 if number in (1, 3, 5, 11) else 1
        x = norm(same(x, weight, stride, len(weight)), f"{name}._bn1").clamp(0, 6)
        x = norm(same(x, tensors[f"{name}._project_conv.weight"]), f"{name}._bn2")
        x = x + begin if x.shape == begin.shape else x
    x = norm(same(x, tensors["_conv_head.weight"]), "_bn1").clamp(0, 6).mean((2, 3))
    return x @ tensors["_fc.weight"].T + tensors["_fc.bias"]


@pytest.mark.parametrize("shape", [(224, 224), (65, 131)])
def test_logits_are_those_of_the_network_written_out(shape: tuple[int, int]) -> None:
    """Sides that are no multiples of 32 are padded unevenly, as by TensorFlow."""
    x = torch.from_numpy(make_picture(*shape, 4).transpose(2, 0, 1)[None]).float()
    x = (x - 127) / 128
    with torch.inference_mode():
        expected, found = written_out(x), lite0()(x)
    assert float(expected.std()) > 0.5
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_onnx_runtime_computes_the_same_logits(tmp_path: Path) -> None:
    """Another implementation of every layer, of the network before its norms are folded."""
    pytest.importorskip("onnx")
    import onnxruntime

    network = EfficientNetLite0().eval()
    network.load_state_dict(state())
    x = torch.from_numpy(make_picture(224, 224, 2).transpose(2, 0, 1)[None]).float() / 128 - 0.99
    path = tmp_path / "lite0.onnx"
    with warnings.catch_warnings(action="ignore"):  # the older exporter needs no other package
        torch.onnx.export(network, (x,), path, input_names=["x"], dynamo=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": x.numpy()})
    with torch.inference_mode():
        found = lite0()(x).numpy()
        whole = network(x).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)
    np.testing.assert_allclose(folded(network)(x).detach().numpy(), whole, atol=1e-4)


def test_numbers_of_the_network() -> None:
    network = EfficientNetLite0()
    assert sum(part.numel() for part in network.parameters()) == 4_652_008
    maps = network.stages(torch.zeros(1, 3, 64, 96))
    assert [tuple(each.shape[1:]) for each in maps] == [
        (16, 32, 48), (24, 16, 24), (40, 8, 12), (112, 4, 6), (320, 2, 3),
    ]  # fmt: skip


@needs(REAL / "imagenet100")
def test_labelled_photographs_are_recognised(tmp_path: Path) -> None:
    """Preprocessing and order of classes; photographs of the training split, so inflated."""
    folder = REAL / "imagenet100"
    entry = {"type": "imagefolder", "path": str(folder), "labels": str(folder / "labels.csv")}
    dataset = make_dataset("imagenet100", entry, tmp_path)
    names = dataset.image_ids()
    assert len(names) == 100
    dataset.provide(names, tmp_path)
    truth = Truth(more=dataset.merge_annotations(dict.fromkeys(names, tmp_path)).more)
    task = loaded(truth.labels("imagenet100"))
    found = {n: as_stored(task.predict(read_image(folder / n)[0], [])) for n in names}
    judge = evaluator("class_scores", answer_of("class_scores").refer(truth, found), names)
    values = judge.values(judge.count(found), np.ones((1, 100), np.int64))
    assert values["top1_accuracy"][0] >= 0.88
    assert values["top5_accuracy"][0] >= 0.96
    assert values["top1_agreement"][0] == 1


# The files.


def test_a_wrong_package_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lite0_weights.lite0_file()
    assert whole is not None
    monkeypatch.setattr(lite0_weights, "MODULE", "efficientnet_lite0_that_is_not_there")
    for load in (load_lite0, loaded, lambda: Classification("c", {}).files()):
        with pytest.raises(ModelError, match=r"package efficientnet-lite0-.*, is missing"):
            load()
    assert "is missing" in available()[1]["feature_distance"]
    package = tmp_path / "lite0_without_model"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(lite0_weights, "MODULE", package.name)
    with pytest.raises(ModelError, match=r"57934424\.pth: no such file: the installed .* lacks"):
        loaded()
    with pytest.raises(MeasurementError, match=r"the installed package .* lacks its model"):
        Meter(["feature_distance"])
    (package / "models").mkdir()
    data = whole.read_bytes()
    (package / "models" / whole.name).write_bytes(data[:-1] + b"\x07")
    with pytest.raises(ModelError, match=r"57934424\.pth: its sha256 is .*, expected 5793"):
        loaded()


def test_other_tensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    changed = dict(state())
    changed["_blocks.3._more"] = changed.pop("_blocks.3._bn2.bias")
    torch.save(changed, path)
    with pytest.raises(ModelError, match=r"mine\.pth: not the tensors of .*_bn2\.bias"):
        loaded(weights=str(path))
    torch.save([1, 2], path)
    with pytest.raises(ModelError, match=r"mine\.pth: holds no state dictionary"):
        loaded(weights=str(path))
    torch.save(state(), path)
    image = make_picture(90, 120, 1)
    ours, package = loaded(weights=str(path)).predict(image, []), loaded().predict(image, [])
    assert np.array_equal(ours.scores, package.scores)


# The inputs.


@pytest.mark.parametrize("shape", [(256, 256), (100, 171), (301, 240)])
def test_the_square_is_tensorflows(shape: tuple[int, int]) -> None:
    """Four pixels around a multiple of the step, weighted by their distances."""
    image = make_picture(*shape, 7)
    side = int(0.875 * min(shape))
    top, left = ((length - side + 1) // 2 for length in shape)
    found = centre_crop(image, 224, 0.875, "tensorflow-bilinear")
    rng = np.random.default_rng(1)
    for row, column in rng.integers(0, 224, (40, 2)):
        y, x = row * side / 224, column * side / 224
        value = 0.0
        for j in (int(y), int(y) + 1):
            for i in (int(x), int(x) + 1):
                pixel = image[top + min(j, side - 1), left + min(i, side - 1)].astype(float)
                value = value + pixel * (1 - abs(y - j)) * (1 - abs(x - i))
        np.testing.assert_allclose(found[row, column], value, atol=2e-3)


@pytest.mark.parametrize("shape", [(256, 256), (480, 640), (333, 250), (301, 500)])
def test_the_square_is_torchvisions(shape: tuple[int, int]) -> None:
    """The published preprocessing of a network, by the package's own transform."""
    image = make_picture(*shape, 3)
    weights = models.ResNet18_Weights.IMAGENET1K_V1
    about = classifier._of_torchvision("resnet18", Path(__file__))
    assert about is None
    expected = weights.transforms()(PillowImage.fromarray(image))
    planes = torch.from_numpy(centre_crop(image, 224, 224 / 256, "pillow-bilinear")).permute(
        2, 0, 1
    )
    values = weights.transforms()
    found = normalize(planes / 255, values.mean, values.std)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_square_of_other_sizes() -> None:
    """The side that is scaled to is not lost by rounding; the smallest square is a pixel."""
    image = make_picture(300, 360, 3)
    assert int(224 / (224 / 354)) == 353
    expected = center_crop(resize(PillowImage.fromarray(image), [354]), [224, 224])
    found = centre_crop(image, 224, 224 / 354, "pillow-bilinear")
    np.testing.assert_array_equal(found, np.asarray(expected, np.float32))
    pixel = centre_crop(make_picture(32, 40, 1), 64, 0.01, "tensorflow-bilinear")
    assert (pixel == pixel[:1, :1]).all()


def test_crops_of_the_grid_are_the_images_own_pixels() -> None:
    image = make_picture(300, 500, 5)
    crops = grid_crops(image, 224, [2, 3])
    places = [(top, left) for top in (0, 76) for left in (0, 138, 276)]
    for crop, (top, left) in zip(crops, places, strict=True):
        assert np.array_equal(crop, image[top : top + 224, left : left + 224])
    (middle,) = grid_crops(image, 224, [1, 1])
    assert np.array_equal(middle, image[38:262, 138:362])
    assert grid_crops(image, 224, [0, 0]) == []
    found = loaded(crops=[1, 2])
    assert found.model == "EfficientNet-Lite0, 1x2 crops besides"
    answer = found.predict(image, [])
    assert answer.scores.shape == (3, 1000)
    assert answer.features.shape == (3, 1280)
    alone = loaded().predict(image, [])
    np.testing.assert_allclose(answer.scores[:1], alone.scores, atol=1e-3)
    planes = torch.from_numpy(image[38:262, :224].astype(np.float32)).permute(2, 0, 1)
    with torch.inference_mode():
        logits = lite0()((planes[None] - 127) / 128)
    np.testing.assert_allclose(answer.scores[1], torch.log_softmax(logits[0], 0), atol=1e-3)


def test_small_images_are_refused() -> None:
    task = loaded(crops=[1, 1])
    with pytest.raises(TaskError, match="an image of 40x31 pixels is too small to be classified"):
        task.predict(make_picture(31, 40, 1), [])
    with pytest.raises(TaskError, match="an image of 300x223 pixels has no crops of 224x224"):
        task.predict(make_picture(223, 300, 1), [])
    loaded().predict(make_picture(32, 40, 1), [])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"network": "resnet18"}, "is none of efficientnet-lite0, torchvision/<name>, timm/<name>"),
        ({"network": "timm/"}, "is none of efficientnet-lite0"),
        ({"network": "torchvision/resnet18"}, "torchvision/resnet18 needs weights, a local file"),
        ({"resample": "nearest"}, "resample='nearest' is none of tensorflow-bilinear, pillow-bil"),
        ({"crop": 1.2}, "crop=1.2 is above 1"),
        ({"mean": [1, 2]}, r"mean=\[1, 2\] is not three numbers"),
        ({"std": [1, 0, 1]}, r"std=\[1, 0, 1\] is not three numbers"),
        ({"crops": [2]}, r"crops=\[2\] is not rows and columns"),
        ({"crops": [0, 2]}, r"crops=\[0, 2\] is not rows and columns"),
    ],
)
def test_wrong_options(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Classification("c", entry)


# Other networks.


def torchvision_file(path: Path, name: str, classes: int = 1000) -> str:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        torch.save(models.get_model(name, weights=None, num_classes=classes).state_dict(), path)
    return str(path)


def test_a_network_of_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its input is that of the published file which the weights are, or is to be given."""
    name, published = "mobilenet_v3_small", models.MobileNet_V3_Small_Weights.IMAGENET1K_V1
    entry = {
        "network": f"torchvision/{name}", "weights": torchvision_file(tmp_path / "w.pth", name)
    }  # fmt: skip
    with pytest.raises(
        TaskError, match=r"w\.pth is no file that torchvision publishes.*give size,"
    ):
        loaded(**entry)
    with pytest.raises(TaskError, match="torchvision has no network 'mobilenet'"):
        loaded(**{**entry, "network": "torchvision/mobilenet"})
    with pytest.raises(ModelError, match=r"w\.pth: its tensors are not those of the network"):
        loaded(**{**entry, "network": "torchvision/resnet18"})
    with pytest.raises(ModelError, match=r"w\.pth: its sha256 is"):
        loaded(**entry, sha256="0" * 64)
    digest = published.url.rpartition("-")[2][:8] + "0" * 56
    monkeypatch.setattr(classifier, "sha256_file", lambda path: digest)
    task = loaded(**entry)
    assert task.model == "mobilenet_v3_small of torchvision"
    image = make_picture(230, 310, 2)
    network = models.get_model(name, weights=None)
    network.load_state_dict(torch.load(entry["weights"], weights_only=True))
    network.eval()
    x = published.transforms()(PillowImage.fromarray(image))[None]
    with torch.inference_mode():
        logits = network(x)
        features = network.classifier[:-1](network.avgpool(network.features(x)).flatten(1))
    answer = task.predict(image, [])
    np.testing.assert_allclose(answer.scores, torch.log_softmax(logits, 1), atol=1e-4)
    np.testing.assert_allclose(answer.features, features, atol=1e-4)


def test_a_network_of_ones_own_classes(tmp_path: Path) -> None:
    given = {"size": 64, "crop": 1.0, "resample": "pillow-bicubic", "mean": [0, 0, 0],
             "std": [255, 255, 255]}  # fmt: skip
    weights = torchvision_file(tmp_path / "three.pth", "shufflenet_v2_x0_5", 3)
    entry = {"network": "torchvision/shufflenet_v2_x0_5", "weights": weights,
             "classes": ["cat", "dog", "fox"], **given}  # fmt: skip
    answer = loaded(Labels("x", {}, (), {}, ("dog", 0)), **entry).predict(
        make_picture(70, 80, 1), []
    )
    assert answer.targets.tolist() == [1, 0]
    assert sorted(answer.names) == ["cat", "dog", "fox"]
    with pytest.raises(TaskError, match="efficientnet-lite0 has 1000 classes, `classes` lists 3"):
        loaded(classes=entry["classes"])
    weights = torchvision_file(tmp_path / "squeeze.pth", "squeezenet1_1")
    with pytest.raises(TaskError, match="squeezenet1_1 has no linear layer at its end"):
        loaded(network="torchvision/squeezenet1_1", weights=weights, **given)


def test_a_network_of_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what timm documents: it is not installed, and that is one sentence."""
    weights = torchvision_file(tmp_path / "w.pth", "shufflenet_v2_x0_5")
    entry = {"network": "timm/shuffle", "weights": weights}
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(TaskError, match=r"timm/shuffle needs the package timm, which is not"):
        loaded(**entry)
    timm: Any = ModuleType("timm")
    timm.is_model = lambda name: name == "shuffle"
    timm.create_model = lambda name, pretrained, num_classes: models.get_model(
        "shufflenet_v2_x0_5", weights=None, num_classes=num_classes
    )
    about = {"input_size": (3, 96, 96), "interpolation": "bicubic", "crop_pct": 0.9,
             "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.5, 0.5)}  # fmt: skip
    timm.data = SimpleNamespace(resolve_model_data_config=lambda network: about)
    monkeypatch.setitem(sys.modules, "timm", timm)
    task = loaded(**entry)
    assert task.model == "shuffle of timm"
    image = make_picture(120, 130, 1)
    scaled = PillowImage.fromarray(image).resize((114, 106), PillowImage.Resampling.BICUBIC)
    square = np.asarray(scaled)[5:101, 9:105].astype(np.float32) / 255
    planes = ((square - 0.5) / np.array([0.25, 0.5, 0.5], np.float32)).transpose(2, 0, 1)
    np.testing.assert_allclose(task._planes(image)[0], planes, atol=1e-5)
    about["interpolation"] = "random"
    with pytest.raises(TaskError, match="is no file that timm publishes"):
        loaded(**entry)
    with pytest.raises(TaskError, match="timm has no network 'other'"):
        loaded(**{**entry, "network": "timm/other"})


# Classes of a data set.


def test_classes_are_names_or_indices() -> None:
    names = classifier.imagenet_names()
    assert len(names) == 1000
    assert (names[0], names[281], names[999]) == ("tench", "tabby", "toilet tissue")
    labels = Labels("x", {}, (), {}, ("tabby", 3, "great_white_shark", "great white shark"))
    assert labels.image_indices(names, "t") == [281, 3, 2, 2]
    for wanted, message in (
        ("dragon", "class 'dragon': unknown to t, whose 1000 classes are tench, goldfish"),
        (1000, "class 1000: unknown to t"),
    ):
        with pytest.raises(TaskError, match=f"data set 'x': {message}"):
            Labels("x", {}, (), {}, (wanted,)).image_indices(names, "t")
    with pytest.raises(TaskError, match=r"class 'a': 2 classes \[0, 2\] have that name; map it"):
        Labels("x", {}, (), {}, ("a",)).image_indices(["a", "b", "a"], "t")
    with pytest.raises(TaskError, match="class 'dragon': unknown to task 'classes'"):
        loaded(Labels("x", {}, (), {}, ("dragon",)))


# Answers and metrics.


def random_answers(seed: int, images: int, crops: int = 2, classes: int = 9) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    found = {}
    for number in range(images):
        logits = torch.from_numpy(rng.normal(0, 2, (crops, classes)))
        scores = torch.log_softmax(logits, 1).float().numpy()
        features = rng.uniform(0, 6, (crops, 5)).astype(np.float32)
        names = tuple(f"class {n}" for n in best_classes(scores[0]))
        found[f"i{number:02d}"] = ClassScores(scores, features, np.array([4, 0, 7]), names)
    return found


def judged(
    originals: Mapping[str, Any], found: Mapping[str, Any], labels: Mapping[str, int],
    times: Any = None,
) -> dict[str, float]:  # fmt: skip
    judge = ClassificationEvaluator([*originals], originals, labels)
    weights = np.ones((1, len(originals)), np.int64) if times is None else np.array([times])
    values = judge.values(judge.count(found), weights)
    assert tuple(values) == tuple(judge.metrics) == METRICS
    return {name: float(value[0]) for name, value in values.items()}


@pytest.mark.parametrize("seed", range(5))
def test_metrics_by_other_means(seed: int) -> None:
    """Sorted lists, torch's divergence (of its arguments' order) and scipy's cosine."""
    from scipy.spatial.distance import cosine

    before, after = random_answers(seed, 7), random_answers(seed + 50, 7)
    labels = {name: n % 3 for n, name in enumerate(before)}
    top1, top5, kl, distance, right1, right5 = [], [], [], [], [], []
    for name in before:
        target = [4, 0, 7][labels[name]]
        order = sorted(range(9), key=lambda c, name=name: -after[name].scores[0][c])
        right1.append(order[0] == target)
        right5.append(target in order[:5])
        for one, other, f, g in zip(
            before[name].scores, after[name].scores, before[name].features, after[name].features,
            strict=True,
        ):  # fmt: skip
            order = sorted(range(9), key=lambda c, other=other: -other[c])
            top1.append(order[0] == max(range(9), key=lambda c, one=one: one[c]))
            top5.append(max(range(9), key=lambda c, one=one: one[c]) in order[:5])
            p, q = torch.from_numpy(one).double(), torch.from_numpy(other).double()
            kl.append(float(F.kl_div(q, p, reduction="sum", log_target=True)))
            distance.append(cosine(f.astype(float), g.astype(float)))
    expected = [np.mean(each) for each in (top1, top5, right1, right5, kl, distance)]
    assert [*judged(before, after, labels).values()] == pytest.approx(expected, abs=1e-6)
    reverse = judged(after, before, labels)["class_kl"]
    assert reverse != pytest.approx(expected[4], abs=1e-4)  # the direction counts
    times = np.random.default_rng(seed).integers(0, 4, 7)
    copies = [(f"{n}.{c}", n) for n, k in zip(before, times, strict=True) for c in range(k)]
    drawn = judged(*({c: each[n] for c, n in copies} for each in (before, after)),
                   {c: labels[n] for c, n in copies})  # fmt: skip
    assert judged(before, after, labels, times) == pytest.approx(drawn)


def test_equal_answers_and_planted_changes() -> None:
    before = random_answers(1, 6)
    perfect = judged(before, before, {})
    assert perfect == {**dict.fromkeys(METRICS[:2], 1.0), "class_kl": 0.0, "feature_cosine": 0.0,
                       "top1_accuracy": pytest.approx(np.nan, nan_ok=True),
                       "top5_accuracy": pytest.approx(np.nan, nan_ok=True)}  # fmt: skip
    # The best class becomes the second, of two, three, ...: top-1 ends at once, top-5 at the sixth.
    for place in range(1, 9):
        moved = {}
        for name, each in before.items():
            scores = -np.sort(-each.scores, axis=1)
            order = np.argsort(-each.scores, axis=1)
            order = np.insert(np.delete(order, 0, axis=1), place, order[:, 0], axis=1)
            changed = np.empty_like(scores)
            np.put_along_axis(changed, order, scores, axis=1)
            moved[name] = ClassScores(changed, each.features * 3, each.targets, each.names)
        values = judged(before, moved, {})
        assert values["top1_agreement"] == 0
        assert values["top5_agreement"] == (place < 5)
        assert values["feature_cosine"] == pytest.approx(0, abs=1e-12)
    flat = np.log(np.full((1, 4), 0.25))
    assert divergence(flat, flat + np.log([1.2, 0.8, 1.2, 0.8])) == pytest.approx(
        -0.5 * np.log(0.96)
    )
    zero, one = np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32)
    assert [cosine_distance(*each)[0] for each in ((zero, zero), (zero, one), (one, -one))] == [
        0, 1, 2
    ]  # fmt: skip


def test_answers_in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = random_answers(3, 1)["i00"]
    extension, data = store.encode(answer)
    assert extension == "npz"
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    assert store.encode(answer)[1] == data
    back = store.decode(data, "class_scores")
    assert isinstance(back, ClassScores)
    assert np.array_equal(back.scores, answer.scores)
    assert np.array_equal(back.features, answer.features.astype(np.float16))
    assert (back.targets.tolist(), back.names) == (answer.targets.tolist(), answer.names)
    assert store.encode(back)[1] == data
    real = loaded(crops=[1, 1]).predict(make_picture(230, 230, 1), [])
    assert len(store.encode(real)[1]) < 16_000
    for change, message in (
        ({"scores": answer.scores + 1}, "do not add up to 1"),
        ({"scores": np.full_like(answer.scores, np.nan)}, "a class score is not finite"),
        # They add up to 1, but the divergence of a class of probability 0 is not a number.
        (
            {"scores": np.where(np.arange(answer.scores.shape[1]), -np.inf, answer.scores * 0)},
            "a class score is not finite",
        ),
        ({"scores": answer.scores[:1]}, "of the shapes"),
        ({"features": np.full_like(answer.features, 1e5)}, "not finite in half precision"),
        ({"targets": np.array([9])}, "is none of the 9 of the scores"),
    ):
        with pytest.raises(TaskError, match=message):
            store.encode(ClassScores(**{**vars(answer), **change}))
    with pytest.raises((MeasurementError, ValueError)):
        store.decode(b"PK nothing", "class_scores")


def test_malformed_answers() -> None:
    before = random_answers(1, 2)
    judge = ClassificationEvaluator([*before], before, {})
    with pytest.raises(MeasurementError, match="image 'i01' has no prediction"):
        judge.count({"i00": before["i00"]})
    with pytest.raises(TaskError, match=r"image 'i00': scores of the shape \(1, 9\), of the orig"):
        judge.count(random_answers(1, 2, crops=1))
    with pytest.raises(TaskError, match="image 'b' has no class scores on the original"):
        ClassificationEvaluator(["b"], before, {})
    with pytest.raises(TaskError, match="image 'i00': its label is class 3 of 3"):
        ClassificationEvaluator(["i00"], before, {"i00": 3})
    answer = answer_of("class_scores")
    labels = {"classes": ["a"], "labels": {"i00": 0}}
    truth = Truth(more={"class_scores": labels})
    assert answer.needs_originals(truth)
    assert answer.needs_originals(Truth())
    assert truth.labels("x").image_classes == ("a",)
    with pytest.raises(TaskError, match="without those of the originals"):
        evaluator("class_scores", truth, ["i00"])
    referred = answer.refer(truth, before)
    assert referred.more["class_scores"] == {**labels, "originals": before}
    assert answer.refer(Truth(), before).more["class_scores"] == {"originals": before}


def nearer(before: Mapping[str, Any], after: Mapping[str, Any], share: float) -> dict[str, Any]:
    """Answers between two, by the logarithms of their probabilities and by their features."""
    found = {}
    for name, one in before.items():
        other = after[name]
        mixed = torch.from_numpy((1 - share) * one.scores + share * other.scores)
        features = (1 - share) * one.features + share * other.features
        scores = torch.log_softmax(mixed, 1).numpy()
        found[name] = ClassScores(scores, features, one.targets, one.names)
    return found


@pytest.mark.parametrize("labelled", [False, True])
def test_in_the_tables(tmp_path: Path, labelled: bool) -> None:
    """Labels are used besides the originals; without them there are no rows of accuracy."""
    before, after = random_answers(1, 8), random_answers(60, 8)
    images = [*before]
    points = {"jpeg:quality=10": (400, 1.0), "jpeg:quality=50": (800, 0.6),
              "jpeg:quality=90": (1600, 0.2)}  # fmt: skip
    answers = {codec: nearer(before, after, share) for codec, (_, share) in points.items()}
    rows = [
        {"dataset": "d", "image": name, "family": "jpeg", "codec": codec, "bytes": size,
         "width": 100, "height": 100, "bpp": 8 * size / 1e4, "status": "ok"}
        for codec, (size, _) in points.items() for name in images
    ]  # fmt: skip
    paths = {family: [tmp_path / f"{family}.zip"] for family in ("jpeg", ORIGINALS)}
    with store.writer(paths["jpeg"][0]) as out:
        for codec, found in answers.items():
            for name in images:
                out.add(codec, name, found[name])
    with store.writer(paths[ORIGINALS][0]) as out:
        for name in images:
            out.add(ORIGINALS, name, before[name])
    labels = {name: n % 3 for n, name in enumerate(images)}
    known = {"class_scores": {"classes": [4, 0, 7], "labels": labels}} if labelled else {}
    truth = Truth(more=json.loads(json.dumps(known)))
    settings = Settings(resamples=20, seed=1, max_failed=0.25, min_overlap=0.1, anchors=["jpeg"])
    task = Scored("classes", "EfficientNet-Lite0", "class_scores")
    tables = score_task(task, pd.DataFrame(rows), truth, paths, settings)
    assert set(tables.scores["model"]) == {"EfficientNet-Lite0, reference: originals"}
    reference = {n: as_stored(each) for n, each in before.items()}
    for codec, found in answers.items():
        row = tables.scores[tables.scores["codec"] == codec].set_index("metric")
        stored = {n: as_stored(each) for n, each in found.items()}
        expected = judged(reference, stored, labels if labelled else {})
        expected = {name: value for name, value in expected.items() if not np.isnan(value)}
        assert row["value"].to_dict() == pytest.approx(expected)
        assert ("top1_accuracy" in row.index) == labelled
        assert (row["ceiling"]["top1_agreement"], row["ceiling"]["class_kl"]) == (1, 0)
        assert (row["lo"] <= row["value"]).all()
        assert (row["value"] <= row["hi"]).all()


def test_photographs_need_no_labels(tmp_path: Path) -> None:
    config = complete({
        "datasets": {"photos": {"only": ["coffee"]}}, "codecs": {"identity": {"points": [{}]}},
        "tasks": {"classes": {"type": "classification", "datasets": ["photos"]}},
        "metrics": ["psnr_rgb"], "results": str(tmp_path / "results"),
    })  # fmt: skip
    assert [*make_run(config).tasks] == ["classes"]


# Coding.


@functools.cache
def photographs() -> dict[str, np.ndarray]:
    import skimage.data

    names = ("astronaut", "chelsea", "coffee", "rocket")
    return {name: getattr(skimage.data, name)()[:, :512] for name in names}


def coded(image: np.ndarray, quality: int) -> np.ndarray:
    import io

    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(PillowImage.open(buffer))


def test_quality_orders_every_metric() -> None:
    """JPEG of quality 10 against 90: answers, features and their distance."""
    task = loaded(crops=[1, 2])
    originals = {name: as_stored(task.predict(p, [])) for name, p in photographs().items()}
    values = {}
    for quality in (10, 90):
        found = {n: as_stored(task.predict(coded(p, quality), [])) for n, p in
                 photographs().items()}  # fmt: skip
        values[quality] = judged(originals, found, {})
    low, high = values[10], values[90]
    assert low["top1_agreement"] < high["top1_agreement"]
    assert low["top5_agreement"] <= high["top5_agreement"]
    assert low["class_kl"] > 3 * high["class_kl"] > 0
    assert low["feature_cosine"] > 3 * high["feature_cosine"] > 0


def test_feature_distance_by_stages() -> None:
    """The mean over places of 1 - cosine, by torch's own; coarser coding is farther everywhere."""
    image = photographs()["chelsea"][:200, :232]
    network = load_lite0()
    pictures = {quality: Picture(coded(image, quality)) for quality in (10, 50, 90)}
    original = Picture(image)
    with torch.inference_mode():
        found = {q: stage_distances(network, original, p) for q, p in pictures.items()}
        maps = [network.stages((p.tensor - 127) / 128) for p in (original, pictures[50])]
        expected = [
            float(1 - F.cosine_similarity(a.double(), b.double()).mean())
            for a, b in zip(*maps, strict=True)
        ]
        assert stage_distances(network, original, original) == [0] * 5
    assert found[50] == pytest.approx(expected, abs=1e-6)
    for worse, better in ((10, 50), (50, 90)):
        assert all(a > b > 0 for a, b in zip(found[worse], found[better], strict=True))
    value = Meter(["feature_distance"])(image, coded(image, 50))["feature_distance"]
    assert value == pytest.approx(np.mean(found[50]), abs=1e-6)
    small = Meter(["feature_distance"])(image[:31], image[:31])
    assert np.isnan(small["feature_distance"])


# The drawing.


@pytest.mark.usefixtures("no_formulas")
@pytest.mark.parametrize("shape", [(60, 90), (96, 60)])
def test_bars_of_the_best_classes(shape: tuple[int, int]) -> None:
    first, second = random_answers(1, 1)["i00"], random_answers(4, 1)["i00"]
    picture = make_picture(*shape, 1)
    seen = [
        Predicted("original", "", None, picture, first),
        Predicted("jpeg", "jpeg:quality=10", 0.25, picture, second),
        Predicted("webp", "webp:quality=90", 0.26, picture, first),
    ]
    figure = task_pictures(seen, NOTHING, title="t", note="n")
    assert_no_overlap(figure)
    best = int(first.scores[0].argmax())
    assert int(second.scores[0].argmax()) != best
    text = words(figure)
    assert "0.250 bpp \u00b7 another class, KL" in text
    assert "0.260 bpp \u00b7 same class, KL 0.00" in text
    for axes, one in zip(figure.axes, seen, strict=True):
        scores = one.prediction.scores[0]
        bars = [each for each in axes.patches if isinstance(each, Rectangle)]
        widths = [bar.get_width() / shape[1] for bar in bars]
        assert widths == pytest.approx(-np.sort(-np.exp(scores))[:5], abs=1e-6)
        tops = [bar.get_y() for bar in bars]
        assert tops == sorted(tops)
        assert tops[0] >= shape[0]  # below the image
        marked = [bar.get_edgecolor()[3] == 1 for bar in bars]
        assert marked == [index == best for index in np.argsort(-scores, kind="stable")[:5]]
        names = [each.get_text() for each in axes.texts][::2]
        assert [name.removeprefix("\u25a0 ") for name in names] == list(one.prediction.names)
    other = random_answers(1, 1, classes=6)["i00"]
    with pytest.raises(MeasurementError, match="another number of classes"):
        task_pictures([seen[0], Predicted("b", "b", 0.2, picture, other)], NOTHING, title="",
                      note="")  # fmt: skip
