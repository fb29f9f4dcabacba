"""LPIPS and DISTS with random networks in the published format: the files of the real ones are
too large to ship. The arithmetic is checked against float64 versions written out below."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image

from icmbench.config.run import make_run
from icmbench.core.errors import MeasurementError
from icmbench.metrics import METRICS, available
from icmbench.metrics import weights as files
from icmbench.metrics.meter import Meter

DATA = Path(__file__).parent / "data" / "metrics"
State = dict[str, torch.Tensor]
VGG_STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
LEARNED = ("lpips", "lpips_vgg", "dists")


def random_state(build: Callable[[], torch.nn.Module], seed: int) -> State:
    """Every tensor of the published file by name and shape. The classifier is one zero, expanded:
    it is never used, and the file stays small."""
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in build().state_dict().items()}
    state = {}
    for name, shape in shapes.items():
        if name.startswith("classifier"):
            state[name] = torch.zeros(1).expand(shape)
        else:
            scale = math.sqrt(2 / math.prod(shape[1:])) if len(shape) > 1 else 0.05
            state[name] = torch.randn(shape, generator=generator) * scale
    return state


def write_pristine_model(folder: Path) -> None:
    """A model of NIQE in the published format: features of mean 0 and variance 1."""
    model = {"mu_prisparam": np.zeros((1, 36)), "cov_prisparam": np.eye(36)}
    scipy.io.savemat(folder / files.NIQE.name, model)


@pytest.fixture(scope="module")
def states() -> dict[str, State]:
    generator = torch.Generator().manual_seed(3)
    shape = (1, 1475, 1, 1)
    return {
        "ALEXNET": random_state(torchvision.models.alexnet, 1),
        "VGG16": random_state(torchvision.models.vgg16, 2),
        # Not normalised: they add up to about 147.5.
        "DISTS": {
            "alpha": torch.rand(shape, generator=generator) * 0.1,
            "beta": torch.rand(shape, generator=generator) * 0.1,
        },
    }


@pytest.fixture(scope="module")
def folder(states: dict[str, State], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The four files under their published names, their digests taken for the published ones."""
    where = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(where / "no-cache"))
        for constant, state in states.items():
            file = getattr(files, constant)
            torch.save(state, where / file.name)
            digest = hashlib.sha256((where / file.name).read_bytes()).hexdigest()
            if file.sha256:
                patch.setattr(files, constant, dataclasses.replace(file, sha256=digest[:8]))
        write_pristine_model(where)
        yield where


def stored(name: str) -> np.ndarray:
    return np.asarray(Image.open(DATA / f"{name}.png"))


def planes(image: np.ndarray) -> torch.Tensor:
    return torch.tensor(image.astype(np.float64)).permute(2, 0, 1)[None]


def conv(state: State, layer: int, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
    weight = state[f"features.{layer}.weight"].double()
    padding = 2 if weight.shape[-1] in (11, 5) else 1
    bias = state[f"features.{layer}.bias"].double()
    return F.relu(F.conv2d(x, weight, bias, stride=stride, padding=padding))


def lpips_written_out(state: State, a: np.ndarray, b: np.ndarray) -> float:
    """Zhang et al. 2018, (1): squared difference of unit-length features, weighted per channel."""
    vgg = "features.28.weight" in state
    file = resources.files("lpips") / "weights" / "v0.1" / ("vgg.pth" if vgg else "alex.pth")
    heads = torch.load(str(file), map_location="cpu", weights_only=True)

    def features(image: np.ndarray) -> list[torch.Tensor]:
        shift = torch.tensor([-0.030, -0.088, -0.188]).double().view(1, 3, 1, 1)
        scale = torch.tensor([0.458, 0.448, 0.450]).double().view(1, 3, 1, 1)
        x = (planes(image) / 127.5 - 1 - shift) / scale
        maps: list[torch.Tensor] = []
        if vgg:
            for stage in VGG_STAGES:
                x = F.max_pool2d(x, 2) if maps else x
                for layer in stage:
                    x = conv(state, layer, x)
                maps.append(x)
            return [m / (m.square().sum(1, keepdim=True).sqrt() + 1e-10) for m in maps]
        maps.append(conv(state, 0, x, stride=4))
        maps.append(conv(state, 3, F.max_pool2d(maps[-1], 3, 2)))
        maps.append(conv(state, 6, F.max_pool2d(maps[-1], 3, 2)))
        maps.append(conv(state, 8, maps[-1]))
        maps.append(conv(state, 10, maps[-1]))
        return [m / (m.square().sum(1, keepdim=True).sqrt() + 1e-10) for m in maps]

    total = 0.0
    for layer, (x, y) in enumerate(zip(features(a), features(b), strict=True)):
        weight = heads[f"lin{layer}.model.1.weight"].double()
        total += float(((x - y).square() * weight).sum(1).mean())
    return total


def dists_written_out(states: dict[str, State], a: np.ndarray, b: np.ndarray) -> float:
    """Ding et al. 2020, (4)-(7), with their L2 pooling; no resizing, so up to 256 pixels a side."""
    state = states["VGG16"]
    hann = torch.tensor([0.25, 0.5, 0.25]).double()

    def pool(x: torch.Tensor) -> torch.Tensor:
        kernel = torch.outer(hann, hann).expand(x.shape[1], 1, 3, 3)
        squares = F.conv2d(x * x, kernel, stride=2, padding=1, groups=x.shape[1])
        return (squares + 1e-12).sqrt()

    def features(image: np.ndarray) -> list[torch.Tensor]:
        raw = planes(image) / 255
        mean = torch.tensor([0.485, 0.456, 0.406]).double().view(1, 3, 1, 1)
        x = (raw - mean) / torch.tensor([0.229, 0.224, 0.225]).double().view(1, 3, 1, 1)
        maps = [raw]
        for stage in VGG_STAGES:
            x = x if stage[0] == 0 else pool(x)
            for layer in stage:
                x = conv(state, layer, x)
            maps.append(x)
        return maps

    alpha, beta = (states["DISTS"][k].double().flatten() for k in ("alpha", "beta"))
    similarity, start = 0.0, 0
    for x, y in zip(features(a), features(b), strict=True):
        x, y = x[0].flatten(1), y[0].flatten(1)
        mean_x, mean_y = x.mean(1), y.mean(1)
        covariance = ((x - mean_x[:, None]) * (y - mean_y[:, None])).mean(1)
        variances = x.var(1, correction=0) + y.var(1, correction=0)
        texture = (2 * mean_x * mean_y + 1e-6) / (mean_x**2 + mean_y**2 + 1e-6)
        structure = (2 * covariance + 1e-6) / (variances + 1e-6)
        channels = slice(start, start + len(mean_x))
        similarity += float((alpha[channels] * texture + beta[channels] * structure).sum())
        start += len(mean_x)
    return 1 - similarity / float(alpha.sum() + beta.sum())


@pytest.mark.parametrize("pair", [("scene", "scene_jpeg30"), ("odd", "odd_jpeg15")])
def test_values_equal_the_written_out_computation(
    pair: tuple[str, str], folder: Path, states: dict[str, State]
) -> None:
    a, b = map(stored, pair)
    values = Meter(LEARNED, weights=folder)(a, b)
    assert values["lpips"] == pytest.approx(lpips_written_out(states["ALEXNET"], a, b), rel=1e-4)
    assert values["lpips_vgg"] == pytest.approx(lpips_written_out(states["VGG16"], a, b), rel=1e-4)
    # float32 variances of thousands of channels: 1e-5 of a value between 0 and 1.
    assert values["dists"] == pytest.approx(dists_written_out(states, a, b), abs=2e-5)
    assert values["lpips"] > 1e-4
    assert values["dists"] > 1e-3


def test_equal_images_and_smallest_sides(folder: Path) -> None:
    meter = Meter(LEARNED, weights=folder)
    values = meter(stored("scene"), stored("scene"))
    assert values["lpips"] == 0.0
    assert values["dists"] == pytest.approx(0.0, abs=1e-5)
    for name in LEARNED:
        side = METRICS[name].min_side
        crops = [stored(n)[:side, :side] for n in ("scene", "scene_jpeg8")]
        assert math.isfinite(meter(*crops)[name])
        assert math.isnan(meter(*(crop[1:] for crop in crops))[name])


def test_loading_draws_nothing_from_the_global_generator_and_needs_no_network(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a metric tried to download")

    for name in ("load_state_dict_from_url", "download_url_to_file"):
        monkeypatch.setattr(torch.hub, name, refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    before = torch.get_rng_state()
    Meter(LEARNED, weights=folder)
    assert torch.equal(before, torch.get_rng_state())


def test_available_names_what_is_missing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(LEARNED) <= set(available(folder)[0])
    optional = {name for name, metric in METRICS.items() if metric.extra}
    assert [name for name in METRICS if name not in optional] == [
        name for name in available(folder)[0] if name not in optional
    ]
    assert set(available(folder)[1]) <= optional
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    names, reasons = available(tmp_path / "mine")
    assert set(reasons) - optional == {*LEARNED, "niqe"}
    assert not set(names) & set(reasons)
    for part in ("alexnet-owt-7be5be79.pth", "mine", "hub/checkpoints", "https://", "sha256"):
        assert part in reasons["lpips"]
    assert "vgg16-397923af.pth" in reasons["dists"]
    assert "vgg16-397923af.pth" in reasons["lpips_vgg"]
    assert "dists_weights.pt" in reasons["dists"]
    with pytest.raises(MeasurementError, match=r"alexnet-owt-7be5be79\.pth is not in"):
        Meter(["lpips"], weights=tmp_path / "mine")


def test_the_home_of_a_user_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text stands in provenance, which is published."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    text = files.missing(files.ALEXNET, tmp_path / "w")
    assert "is not in ~/w and ~/.cache/torch/hub/checkpoints; it comes from" in text
    assert str(tmp_path) not in text


def test_the_torch_cache_is_looked_into(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = folder / "home" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (cache / files.ALEXNET.name).symlink_to(folder / files.ALEXNET.name)
    monkeypatch.setenv("TORCH_HOME", str(folder / "home"))
    assert "lpips" in available()[0]
    assert "dists" in available()[1]
    Meter(["lpips"])


def test_an_own_source_replaces_a_published_file(
    folder: Path, states: dict[str, State], tmp_path: Path
) -> None:
    """With the digest of its download, and the run says so; else the published name decides."""
    place = tmp_path / "alexnet"
    place.mkdir()
    torch.save(states["ALEXNET"], place / "mine.pth")
    digest = hashlib.sha256((place / "mine.pth").read_bytes()).hexdigest()
    listed = {"files": {"mine.pth": {"sha256": digest, "size": 1}}}
    (place / "fetched.json").write_text(json.dumps(listed))
    pair = stored("scene"), stored("scene_jpeg30")
    value = Meter(["lpips"], weights=tmp_path)(*pair)["lpips"]
    assert value == Meter(["lpips"], weights=folder)(*pair)["lpips"]
    config = {
        "datasets": {"scenes": {"test": 1}}, "codecs": {"jpeg": {"points": [{"quality": 5}]}},
        "metrics": ["psnr_rgb", "lpips"], "weights": str(tmp_path),
    }  # fmt: skip
    (notice,) = [text for text in make_run(config).notices if "published" in text]
    assert notice == (
        f"metrics: lpips: not the published weights: mine.pth (sha256 {digest[:8]}…) is in place "
        f"of {files.ALEXNET.name}, by the source alexnet"
    )
    torch.save(states["DISTS"], place / "mine.pth")
    with pytest.raises(MeasurementError, match=rf"mine\.pth is damaged .*recorded one .* {digest}"):
        Meter(["lpips"], weights=tmp_path)
    (place / "mine.pth").unlink()
    assert "lpips" in available(tmp_path)[1]
    (place / "fetched.json").write_text(json.dumps({"files": {files.ALEXNET.name: {}}}))
    (place / files.ALEXNET.name).symlink_to(folder / files.ALEXNET.name)
    assert Meter(["lpips"], weights=tmp_path)(*pair)["lpips"] == value
    assert not [text for text in make_run(config).notices if "published" in text]


def test_published_digest_is_demanded(folder: Path, tmp_path: Path) -> None:
    damaged = bytearray((folder / files.ALEXNET.name).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / files.ALEXNET.name).write_bytes(damaged)
    with pytest.raises(MeasurementError, match=r"alexnet-owt-7be5be79\.pth is damaged or another"):
        Meter(["lpips"], weights=tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"<html>404 Not Found</html>", "cannot be read"),
        ([torch.zeros(2)], "not a dictionary of tensors"),
        ({"alpha": 1, "beta": 2}, "not a dictionary of tensors"),
        ({"alpha": torch.ones(1, 1475, 1, 1)}, "beta is missing"),
        ({"alpha": torch.ones(1475), "beta": torch.ones(1, 1475, 1, 1)}, "alpha has shape"),
        ({"alpha": torch.zeros(1, 1475, 1, 1), "beta": torch.zeros(1, 1475, 1, 1)}, "add up"),
        (object, "cannot be read"),
    ],
    ids=["empty", "web page", "list", "numbers", "one", "shape", "zeros", "code"],
)
def test_other_dists_files_are_refused(content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / files.DISTS.name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(MeasurementError, match=message) as caught:
        Meter(["dists"], weights=tmp_path)
    assert str(path) in str(caught.value)


def test_another_network_under_the_published_name_is_refused(
    states: dict[str, State], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = dict(states["ALEXNET"])
    state["features.3.weight"] = state["features.3.weight"][:, :, 1:4, 1:4].clone()
    state["extra"] = torch.zeros(1)
    path = tmp_path / files.ALEXNET.name
    torch.save(state, path)
    monkeypatch.setattr(files, "ALEXNET", dataclasses.replace(files.ALEXNET, sha256=""))
    with pytest.raises(MeasurementError, match=r"extra is unexpected; features\.3\.weight has"):
        Meter(["lpips"], weights=tmp_path)
