"""VGG: torchvision's layout and file, taps where they belong, tasks that teach what they say."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from conftest import ROOT, make_picture
from scipy import ndimage

from icmbench.codecs.mpd.networks.vgg import (
    CLASSIFIER,
    PUBLISHED,
    STRIDES,
    TAPS,
    VggSettings,
    build_vgg,
    load_vgg,
    taps,
)
from icmbench.codecs.mpd.training import vgg as tv
from icmbench.core.errors import ConfigError, DatasetError, ImageError, ModelError
from icmbench.core.files import sha256_bytes
from icmbench.models.tensors import rounded, save_network
from icmbench.training.data import TrainingData
from icmbench.training.loop import Schedule, Session

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = VggSettings((4, 5, 6, 7, 8))
SCHEDULE = Schedule(steps=6, batch=4, learning_rate=2e-3, checkpoint_every=2)

# torchvision's numbers of the five convolutions' ReLUs, counted in its own list of layers.
RELUS = (3, 8, 15, 22, 29)

State = dict[str, torch.Tensor]


def equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def pixels(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator) * 2 - 1


@pytest.fixture(scope="module")
def published() -> torch.nn.Module:
    """torchvision's features, with biases that are not all zero."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = torchvision.models.vgg16(weights=None).features
    network = network.to_empty(device="cpu").eval()
    for name, value in network.state_dict().items():
        scale = (2 / value[0].numel()) ** 0.5 if value.ndim == 4 else 0.1
        seed = int(name.split(".")[0])
        value.normal_(0, scale, generator=torch.Generator().manual_seed(seed))
    return network


def published_state(features: State) -> State:
    """A state dictionary as torchvision's `vgg16()` has it.

    The classifier's tensors have their names, order, types and shapes, but one number each: 500 MB
    of numbers that nobody reads would tell a test nothing more.
    """
    with torch.device("meta"):
        names = torchvision.models.vgg16(weights=None).state_dict()
    state = {}
    for name, tensor in names.items():
        part, _, rest = name.partition(".")
        own = part == "features"
        state[name] = features[rest] if own else torch.full((), 0.5).expand(tensor.shape)
    return state


def test_layout_is_torchvisions() -> None:
    """Names, order and shapes of all tensors, and the classifier's, which are left out."""
    with torch.device("meta"):
        theirs = torchvision.models.vgg16(weights=None)
        ours = build_vgg(PUBLISHED, 1)
    shapes = {name: tuple(value.shape) for name, value in theirs.state_dict().items()}
    own = {name: tuple(value.shape) for name, value in ours.state_dict().items()}
    assert list({**own, **CLASSIFIER}.items()) == list(shapes.items())
    kinds = [type(layer) for layer in theirs.features]
    assert [type(layer) for layer in ours.get_submodule("features")] == kinds


def test_published_file_gives_torchvisions_features(
    published: torch.nn.Module, tmp_path: Path
) -> None:
    """Through the file, for sides that do and do not divide, with torchvision's own transform."""
    path = tmp_path / "vgg16.pth"
    torch.save(published_state(published.state_dict()), path)
    network = load_vgg(path)
    assert not network.training
    assert not any(value.requires_grad for value in network.parameters())
    normalise = torchvision.models.VGG16_Weights.IMAGENET1K_V1.transforms()
    for height, width in ((48, 32), (53, 39)):
        image = pixels(2, 3, height, width)
        values = torchvision.transforms.functional.normalize(
            (image + 1) / 2, normalise.mean, normalise.std
        )
        expected = []
        with torch.inference_mode():
            for number, layer in enumerate(published):
                values = layer(values)
                if number in RELUS:
                    expected.append(values.clone())
            found = taps(network, image)
        for one, other, channels in zip(found, expected, PUBLISHED.channels, strict=True):
            assert one.shape[1] == channels
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
            assert other.std() > 0.05


def test_old_file_format_is_read(tmp_path: Path) -> None:
    """The published file is of 2017: a pickle, not a zip."""
    path = tmp_path / "vgg16.pth"
    save_light(path, {}, _use_new_zipfile_serialization=False)
    assert sum(value.numel() for value in load_vgg(path).parameters()) == 14714688


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("new", [True, False])
def test_a_wrong_byte_is_a_model_error_or_no_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: bool
) -> None:
    """Whatever torch's reader raises; where it reads on, names and shapes are looked at."""
    monkeypatch.setattr("icmbench.codecs.mpd.networks.vgg.with_weights", lambda *_: 1 / 0)
    path = tmp_path / "a.pth"
    names = {name: torch.zeros(()).expand(shape) for name, shape in CLASSIFIER.items()}
    torch.save(
        {"features.0.bias": torch.zeros(64), **names}, path, _use_new_zipfile_serialization=new
    )
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for place in rng.integers(0, len(whole), 400):
        spoilt = bytearray(whole)
        spoilt[place] = rng.integers(256)
        path.write_bytes(spoilt)
        try:
            with pytest.raises(ZeroDivisionError):
                load_vgg(path)
        except ModelError:
            refused += 1
    assert refused > 40


def save_light(path: Path, change: dict[str, Any], **keys: Any) -> None:
    """A published file with one number per tensor; `change` replaces tensors or (None) drops."""
    features = build_meta_features()
    light = {name: torch.zeros(()).expand(value.shape) for name, value in features.items()}
    state = {**published_state(light), **change}
    torch.save({name: value for name, value in state.items() if value is not None}, path, **keys)


def build_meta_features() -> State:
    with torch.device("meta"):
        return torchvision.models.vgg16(weights=None).features.state_dict()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"features.14.bias": None}, "tensor 'features.14.bias' is missing"),
        ({"classifier.3.weight": None}, "tensor 'classifier.3.weight' is missing"),
        ({"features.0.weight": torch.zeros(64, 1, 3, 3)}, r"'features.0.weight' has the shape"),
        ({"classifier.6.bias": torch.zeros(10)}, r"'classifier.6.bias' has the shape \(10,\)"),
        ({"features.30.weight": torch.zeros(3)}, "'features.30.weight' is not one of"),
        ({"classifier.7.weight": torch.zeros(3)}, "'classifier.7.weight' is not one of"),
        ({"avgpool.weight": torch.zeros(3)}, "'avgpool.weight' is not one of"),
        ({"features.0.bias": torch.zeros(64, dtype=torch.int64)}, "'features.0.bias' is not a"),
        ({"features.0.bias": [0.0] * 64}, "'features.0.bias' is not a tensor"),
        ({"features.0.bias": torch.full((64,), torch.nan)}, "'features.0.bias' holds a value"),
    ],
)
def test_published_files_with_a_fault_are_refused(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    path = tmp_path / "planted.pth"
    save_light(path, change)
    with pytest.raises(ModelError, match=f"planted.pth: .*{says}"):
        load_vgg(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    """Missing, cut anywhere, garbage, of another kind; code in a pickle does not run."""
    path = tmp_path / "a.pth"
    save_light(path, {})
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    cuts = [whole[: int(end)] for end in rng.integers(0, len(whole), 20)]
    for content in (b"", b"garbage", rng.bytes(300), *cuts):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"a\.pth: damaged or not a file of weights"):
            load_vgg(path)
    torch.save([torch.zeros(3)], path)
    with pytest.raises(ModelError, match="holds a list, not named tensors"):
        load_vgg(path)
    torch.save(Evil(tmp_path / "was_run"), path)
    with pytest.raises(ModelError, match=r"holds more than tensors \(.*pathlib\.PosixPath"):
        load_vgg(path)
    assert not (tmp_path / "was_run").exists()
    for name in ("none.pth", "none.safetensors"):
        with pytest.raises(ModelError, match=f"{name}: no such file"):
            load_vgg(tmp_path / name)
    with pytest.raises(ModelError, match=r"a\.onnx: neither"):
        load_vgg(tmp_path / "a.onnx")


class Evil:
    """Would make a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_own_file_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "vgg.safetensors"
    network = build_vgg(TINY, 5)
    save_network(path, network.state_dict(), {"network": TINY.values()})
    read = load_vgg(path)
    assert equal(dict(read.state_dict()), rounded(network.state_dict()))
    assert not read.training
    assert not any(value.requires_grad for value in read.parameters())


@pytest.mark.parametrize(
    ("metadata", "change", "says"),
    [
        ({}, {}, "metadata network is None"),
        ({"network": None}, {}, "metadata network is None"),
        ({"network": {"channels": [4, 5, 6, 7]}}, {}, "five positive whole numbers"),
        ({"network": {"channels": [4, 5, 6, 7, 0]}}, {}, "five positive whole numbers"),
        ({"network": {"channels": [4, 5, 6, 7, 8.0]}}, {}, "channels.4 is 8.0, not a whole number"),
        ({"network": {"depth": 3}}, {}, "network.channels is missing"),
        ({"network": {"channels": [4, 5, 6, 7, 9]}}, {}, "'features.24.weight' has the shape"),
        ({"network": TINY.values()}, {"features.2.bias": None}, "'features.2.bias' is missing"),
        ({"network": TINY.values()}, {"head.weight": torch.zeros(2)}, "'head.weight' is not one"),
    ],
)
def test_own_files_with_a_fault_are_refused(
    tmp_path: Path, metadata: dict[str, Any], change: dict[str, Any], says: str
) -> None:
    path = tmp_path / "planted.safetensors"
    state = {**build_vgg(TINY, 5).state_dict(), **change}
    save_network(path, {n: v for n, v in state.items() if v is not None}, metadata)
    with pytest.raises(ModelError, match=f"planted.safetensors: .*{says}"):
        load_vgg(path)


def test_weights_follow_from_the_seed() -> None:
    torch.manual_seed(1)
    one = build_vgg(TINY, 3).state_dict()
    after = torch.rand(())
    torch.manual_seed(1)
    assert torch.rand(()) == after, "torch's own generator was moved"
    torch.manual_seed(2)
    assert equal(one, build_vgg(TINY, 3).state_dict())
    assert not torch.equal(
        one["features.0.weight"], build_vgg(TINY, 4).state_dict()["features.0.weight"]
    )


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 31), (64, 48), (100, 37)])
def test_shapes_of_taps(height: int, width: int) -> None:
    found = taps(build_vgg(TINY, 1), pixels(2, 3, height, width))
    expected = [
        (2, channels, height // stride, width // stride)
        for channels, stride in zip(TINY.channels, STRIDES, strict=True)
    ]
    assert [tuple(tap.shape) for tap in found] == expected
    assert len(found) == len(TAPS)
    assert all((tap >= 0).all() and (tap > 0).any() for tap in found)


def test_too_small_for_the_last_tap() -> None:
    with pytest.raises(ImageError, match="15 x 40 pixels: the last tap needs 16"):
        taps(build_vgg(TINY, 1), pixels(1, 3, 15, 40))


def test_each_tap_reaches_as_far_as_its_convolutions() -> None:
    """One changed pixel changes exactly the receptive field: 5, 14, 40, 92, 196 pixels a side."""
    network = build_vgg(VggSettings((8,) * 5), 2).double()
    network.load_state_dict({k: v.abs() for k, v in network.state_dict().items()})
    one = pixels(1, 3, 256, 256).double() + 10  # all ReLUs open
    for stride, field, tap in zip(STRIDES, (5, 14, 40, 92, 196), range(5), strict=True):
        values = one.clone().requires_grad_(True)
        found = taps(network, values)[tap]
        middle = 128 // stride
        # Largest-of-four pooling passes one pixel each; over eight channels most are passed.
        found[:, :, middle, middle].sum().backward()
        rows = torch.nonzero(values.grad.abs().sum((0, 1, 3)))[:, 0]
        side = int(rows[-1] - rows[0]) + 1
        assert field - 2 * stride < side <= field, (tap, side)


def test_signal_neither_fades_nor_explodes() -> None:
    """He et al.: the last tap of an untrained network is of the order of the first."""
    with torch.inference_mode():
        found = taps(build_vgg(VggSettings(), 1), pixels(4, 3, 64, 64))
    power = [float(tap.square().mean()) for tap in found]
    assert 0.05 < power[-1] / power[0] < 20


def test_calibrated_layers_have_mean_0_and_variance_1() -> None:
    """Of all thirteen convolutions, per channel, whatever they were; the pixels may be anything."""
    network = build_vgg(TINY, 1)
    with torch.no_grad():
        for index, value in enumerate(network.parameters()):
            value.mul_(1 + index % 5).add_(0.05)
    shown = pixels(4, 3, 64, 64) * 0.2 + 0.7
    tv.calibrate(network, shown)
    seen: list[torch.Tensor] = []
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    for layer in convolutions:
        layer.register_forward_hook(lambda layer, given, values: seen.append(values.detach()))
    taps(network, shown)
    assert len(seen) == len(convolutions) == 13
    for values in seen:
        torch.testing.assert_close(
            values.mean((0, 2, 3)), torch.zeros(values.shape[1]), rtol=0, atol=1e-3
        )
        torch.testing.assert_close(
            values.std((0, 2, 3)), torch.ones(values.shape[1]), rtol=1e-3, atol=0
        )


def test_calibration_of_a_flat_picture_is_finite() -> None:
    network = build_vgg(TINY, 1)
    tv.calibrate(network, torch.zeros(2, 3, 32, 32))
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())


def make_pool(count: int = 3, side: int = 60) -> TrainingData:
    images = tuple(make_picture(side + 3 * seed, side + 8, seed) for seed in range(count))
    digest = sha256_bytes(b"".join(image.tobytes() for image in images))
    return TrainingData(images, digest, (("pictures", count),))


def run(
    folder: Path,
    objective: str,
    schedule: Schedule = SCHEDULE,
    pool: TrainingData | None = None,
    **keys: Any,
) -> State:
    session = Session(folder / "c.pt", folder / "losses.csv", **keys)
    state, metadata = tv.train_vgg(
        schedule, pool or make_pool(), 32, objective, session, settings=TINY
    )
    assert metadata == {"network": TINY.values(), "objective": objective}
    return state


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("objective", tv.OBJECTIVES)
def test_killed_and_resumed_is_uninterrupted(
    objective: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(tmp_path / "whole", objective)
    assert equal(whole, run(tmp_path / "again", objective))
    calls = itertools.count()
    losses = tv._losses

    def killing(*arguments: Any) -> Any:
        if next(calls) == 5:
            raise Killed
        return losses(*arguments)

    monkeypatch.setattr(tv, "_losses", killing)
    with pytest.raises(Killed):
        run(tmp_path / "killed", objective)
    kept = torch.load(tmp_path / "killed/c.pt", weights_only=True)
    assert kept["step"] == 4
    calls = itertools.count(6)
    resumed = run(tmp_path / "killed", objective)
    assert next(calls) == 8, "the last two of six steps"
    assert equal(resumed, whole)
    first, second = (tmp_path / name / "losses.csv" for name in ("whole", "killed"))
    assert first.read_text() == second.read_text()
    # What was trained is what is returned: every tensor moved, none of the head's is there.
    start = run(tmp_path / "start", objective, dataclasses.replace(SCHEDULE, steps=0))
    assert start.keys() == build_vgg(TINY, 1).state_dict().keys()
    assert not any(torch.equal(start[name], whole[name]) for name in start)


def test_checkpoint_of_another_training_is_not_used(tmp_path: Path) -> None:
    """Of the other objective or another pool; the result is that of an empty folder."""
    fresh = run(tmp_path / "fresh", "rotations")
    run(tmp_path / "used", "instances")
    assert equal(run(tmp_path / "used", "rotations"), fresh)
    run(tmp_path / "used", "rotations", pool=make_pool(2))
    assert equal(run(tmp_path / "used", "rotations"), fresh)


def test_start_is_where_it_starts(tmp_path: Path) -> None:
    """Warm-up and cosine apart: at a learning rate of nearly 0 the start comes back."""
    path = tmp_path / "start.safetensors"
    start = rounded(build_vgg(TINY, 77).state_dict())
    save_network(path, start, {"network": TINY.values()})
    still = Schedule(steps=1, batch=4, learning_rate=1e-9)
    found = run(tmp_path, "instances", still, start=path)
    for name, value in found.items():
        torch.testing.assert_close(value, start[name], rtol=0, atol=1e-7)
    other = VggSettings((4, 5, 6, 7, 9))
    save_network(path, build_vgg(other, 1).state_dict(), {"network": other.values()})
    with pytest.raises(ModelError, match=r"training, .*start.safetensors: .*features\.24\.weight"):
        run(tmp_path, "instances", still, start=path)


@pytest.mark.parametrize("objective", tv.OBJECTIVES)
def test_both_tasks_see_equally_many_pictures(
    objective: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []

    def spy(network: torch.nn.Module, values: torch.Tensor) -> list[torch.Tensor]:
        seen.append(tuple(values.shape))
        return taps(network, values)

    monkeypatch.setattr(tv, "taps", spy)
    run(tmp_path, objective, Schedule(steps=1, batch=6, learning_rate=1e-3))
    assert seen == [(12, 3, 32, 32)]


def test_what_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'colours' is none of instances, rotations"):
        run(tmp_path, "colours")
    for batch in (0, 1, 3):
        with pytest.raises(ConfigError, match="an even batch"):
            run(tmp_path, "rotations", Schedule(steps=1, batch=batch, learning_rate=1e-3))
    with pytest.raises(DatasetError, match="no image of 48 pixels"):
        run(tmp_path, "rotations", pool=make_pool(side=39))


def test_images_that_are_too_small_are_left_out(tmp_path: Path) -> None:
    """The pool's digest stays: it names what was given."""
    small, large = make_pool(1, 40), make_pool(2, 60)
    mixed = TrainingData((*small.images, *large.images), large.digest, large.sources)
    alone = TrainingData(large.images, large.digest, large.sources)
    assert equal(
        run(tmp_path / "mixed", "instances", pool=mixed),
        run(tmp_path / "alone", "instances", pool=alone),
    )


def test_nt_xent_is_the_papers_formula() -> None:
    """Chen et al., equation 1, pair by pair in float64, and unmoved by the answers' lengths."""
    answers = pixels(10, 7, seed=3).double()
    found = tv.nt_xent(answers, 0.2)
    unit = answers / answers.norm(dim=1, keepdim=True)
    total, hits = 0.0, 0
    for i in range(10):
        similar = {k: float(unit[i] @ unit[k]) for k in range(10) if k != i}
        partner = i + 5 if i < 5 else i - 5
        others = sum(np.exp(value / 0.2) for value in similar.values())
        total -= np.log(np.exp(similar[partner] / 0.2) / others)
        hits += max(similar, key=similar.__getitem__) == partner
    assert float(found["loss"]) == pytest.approx(total / 10, rel=1e-12)
    assert float(found["correct"]) == pytest.approx(hits / 10)
    longer = tv.nt_xent(answers * torch.arange(1, 11)[:, None], 0.2)
    assert float(longer["loss"]) == pytest.approx(float(found["loss"]), rel=1e-12)
    same = torch.eye(5).repeat(2, 1)
    assert float(tv.nt_xent(same, 0.2)["correct"]) == 1.0
    assert float(tv.nt_xent(same, 0.01)["loss"]) < 1e-6


def test_quarter_turns_are_named() -> None:
    """Turning a picture back by its name gives the picture."""
    pictures = pixels(3, 3, 8, 8)
    turned, turns = tv.quarter_turns(pictures)
    assert turned.shape == (12, 3, 8, 8)
    assert torch.bincount(turns).tolist() == [3, 3, 3, 3]
    for index, (picture, turn) in enumerate(zip(turned, turns.tolist(), strict=True)):
        back = torch.rot90(picture, -turn, (1, 2))
        assert torch.equal(back, pictures[index % 3])


def test_views_show_the_picture() -> None:
    """A horizontal ramp stays one: its slope and range tell the scale, place and mirroring."""
    side, count = 96, 300
    column = (torch.arange(side) + 0.5) / side * 2 - 1
    row = column[:, None].expand(side, side)
    ramps = torch.stack([column.expand(side, side), row, torch.zeros(side, side)]) * 0.5
    rng = np.random.default_rng(0)
    before = tv._recolour
    try:
        tv._recolour = lambda pictures, rng: pictures
        shown = tv.augmentations(ramps.expand(count, 3, side, side), 64, rng) * 2
    finally:
        tv._recolour = before
    x, y = shown[:, 0], shown[:, 1]
    assert torch.allclose(x, x[:, :1].expand_as(x), atol=1e-4), "columns stay columns"
    assert torch.allclose(y, y[:, :, :1].expand_as(y), atol=1e-4), "rows stay rows"
    assert (x.abs().amax((1, 2)) <= 1).all()
    inner = slice(4, 60)
    wide = (x[:, 0, inner][:, -1] - x[:, 0, inner][:, 0]) / 55 * 64 / 2
    high = (y[:, inner, 0][:, -1] - y[:, inner, 0][:, 0]) / 55 * 64 / 2
    torch.testing.assert_close(wide.abs(), high, rtol=0, atol=0.02)
    assert 0.4 < float((wide < 0).float().mean()) < 0.6, "every second is mirrored"
    assert 0.48 < float(high.min()) < 0.53
    assert 0.96 < float(high.max()) <= 1.02
    middle = x[:, 0].mean(1)
    assert float(middle.min()) < -0.35
    assert float(middle.max()) > 0.35


def test_recolouring_keeps_structure_and_range() -> None:
    rng = np.random.default_rng(0)
    picture = torch.from_numpy(make_picture(32, 32, 1).transpose(2, 0, 1) / 127.5 - 1).float()
    shown = tv._recolour(picture.expand(200, 3, 32, 32), rng)
    assert shown.abs().max() <= 1
    grey = (shown.amax(1) - shown.amin(1)).amax((1, 2)) < 1e-5
    assert 0.04 < float(grey.float().mean()) < 0.18
    light = (shown.mean((1, 2, 3)) + 1) / 2
    assert float(light.std()) > 0.05
    flat = picture.mean(0).flatten()
    for view in shown[:50].mean(1).flatten(1):
        assert np.corrcoef(flat, view)[0, 1] > 0.9
    assert not torch.equal(shown[0], shown[1])


@pytest.fixture(scope="module")
def check() -> ModuleType:
    """The tool that compares networks."""
    spec = importlib.util.spec_from_file_location("vgg_check", ROOT / "tools/vgg_check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_majority_class(check: ModuleType) -> None:
    ignored = check.IGNORE
    of = check.patch_class
    assert of(np.array([[3, 3], [7, ignored]], np.uint8)) == 3
    assert of(np.array([[ignored, ignored], [ignored, 0]], np.uint8)) == 0
    assert of(np.array([[9, 4], [4, 9]], np.uint8)) == 4
    assert of(np.full((2, 2), ignored, np.uint8)) is None


def test_agreement_by_hand(check: ModuleType) -> None:
    """Random features against a plain double loop; neighbours of the same image never count."""
    rng = np.random.default_rng(4)
    for centred in (True, False):
        features = rng.standard_normal((30, 5)) + 2
        classes, images = rng.integers(0, 3, 30), rng.integers(0, 6, 30)
        values = features - features.mean(0) * centred
        expected = []
        for i in range(30):
            others = [j for j in range(30) if images[j] != images[i]]
            cosine = {
                j: values[i]
                @ values[j]
                / np.sqrt((values[i] @ values[i]) * (values[j] @ values[j]))
                for j in others
            }
            near = sorted(others, key=lambda j: -cosine[j])[:4]
            expected.append(np.mean([classes[j] == classes[i] for j in near]))
        found = check.agreement(features, classes, images, 4, centred)
        np.testing.assert_allclose(found, expected)


def test_same_image_is_no_neighbour(check: ModuleType) -> None:
    """Features that tell only the image, classes that follow it: nothing agrees."""
    images = np.repeat(np.arange(4), 5)
    features = np.eye(4)[images] + 0.01 * np.random.default_rng(0).standard_normal((20, 4))
    assert check.agreement(features, images, images, 5).max() == 0
    assert check.agreement(features, images, np.arange(20), 4).min() == 1


def test_table_has_a_networks_own_mean(check: ModuleType) -> None:
    """Known scores: means, the row `all`, and a gain that is a paired difference."""
    rng = np.random.default_rng(0)
    base = rng.random(30)
    scores = {
        "a": {"one": base, "two": base * 0},
        "b": {"one": base + 0.1, "two": base * 0 + 0.3},
    }
    table = check.summarise(scores).set_index(["network", "tap"])
    assert list(table.index) == [(n, t) for n in "ab" for t in ("one", "two", "all")]
    row = table.loc[("b", "one")]
    assert row["mean"] == pytest.approx(base.mean() + 0.1)
    assert row["low"] < row["mean"] < row["high"]
    assert 0.1 < row["high"] - row["low"] < 0.35
    for name in ("gain", "gain_low", "gain_high"):
        assert row[name] == pytest.approx(0.1)
        assert table.loc[("b", "all")][name] == pytest.approx(0.2)
        assert table.loc[("a", "all")][name] == 0


def test_image_means_are_per_image(check: ModuleType) -> None:
    found = check.image_means(np.array([1.0, 0.0, 0.5, 0.25]), np.array([7, 7, 2, 7]))
    np.testing.assert_allclose(found, [0.5, 1.25 / 3])


def test_pooled_features_do_not_depend_on_the_batch(check: ModuleType) -> None:
    network = build_vgg(TINY, 1)
    patches = pixels(5, 3, 32, 32).numpy()
    for one, other, tap in zip(
        check.pooled(network, patches, 2),
        check.pooled(network, patches, 5),
        taps(network, torch.from_numpy(patches)),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(one, tap.mean((2, 3)).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_patches_are_the_validation_scenes(check: ModuleType, monkeypatch: Any) -> None:
    """Every patch is its scene's pixels at its place, with the class of that place."""
    calls = []

    class Drawn:
        image = make_picture(256, 256, 3)
        semantic = ndimage.zoom(np.arange(16, dtype=np.uint8).reshape(4, 4), 64, order=0)

    def scene(*arguments: Any) -> Drawn:
        calls.append(arguments)
        return Drawn()

    monkeypatch.setattr(check, "render_scene", scene)
    patches, classes, images = check.val_patches(2, 64)
    assert calls == [(1, "val", index, 256, 256) for index in range(2)]
    assert images.tolist() == [0] * 16 + [1] * 16
    assert classes.tolist() == [*range(16)] * 2
    for index, patch in enumerate(patches[:16]):
        top, left = 64 * (index // 4), 64 * (index % 4)
        expected = Drawn.image[top : top + 64, left : left + 64].transpose(2, 0, 1) / 127.5 - 1
        np.testing.assert_allclose(patch, expected, atol=1e-6)
