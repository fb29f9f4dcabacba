"""Patches, Inception features, FID and KID. The network has random weights in the published format:
the file of the real ones is too large to ship."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fake_cuda import fake_cuda
from torchvision.models import inception as published

from icmbench.core.errors import MeasurementError
from icmbench.metrics import weights as files
from icmbench.metrics.distribution import (
    Gaussian,
    fit_gaussian,
    frechet_distance,
    kernel_distance,
    unbiased_mmd,
)
from icmbench.metrics.inception import InceptionFID, load_inception, pool3
from icmbench.metrics.patches import corners, patches


def random_inception(seed: int) -> dict[str, torch.Tensor]:
    """Tensors of the published file by name and shape; the classes are expanded zeros."""
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in InceptionFID().state_dict().items()}
    state = {}
    for name, shape in shapes.items():
        if name.startswith("fc."):
            state[name] = torch.zeros(1).expand(shape)
        elif name.endswith(("bn.weight", "running_var")):
            state[name] = torch.rand(shape, generator=generator) + 0.5
        elif not name.endswith("num_batches_tracked"):
            scale = math.sqrt(2 / math.prod(shape[1:])) if len(shape) > 1 else 0.1
            state[name] = torch.randn(shape, generator=generator) * scale
    return state


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the file under its published name, its digest taken for the published one."""
    where = tmp_path_factory.mktemp("weights")
    path = where / files.INCEPTION.name
    torch.save(random_inception(1), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(where / "no-cache"))
        patch.setattr(files, "INCEPTION", dataclasses.replace(files.INCEPTION, sha256=digest[:8]))
        yield where


@pytest.fixture(scope="module")
def network(folder: Path) -> torch.nn.Module:
    return load_inception(folder, "cpu")


# Patches.


@pytest.mark.parametrize(
    ("height", "width", "count"),
    [
        (512, 768, 6 + 2), (768, 512, 6 + 2), (512, 512, 4 + 1), (300, 1000, 3), (256, 256, 1),
        (1363, 2048, 5 * 8 + 4 * 7), (255, 255, 0), (100, 5000, 0), (5000, 255, 0),
    ],
)  # fmt: skip
def test_the_patches_are_counted_as_hific_counts_them(height: int, width: int, count: int) -> None:
    assert len(corners(height, width)) == count


def test_the_patches_are_two_grids() -> None:
    rows, columns = np.mgrid[:520, :800]
    image = np.stack([rows // 4, columns // 4, rows * 0], axis=2).astype(np.uint8)
    found = patches(image)
    assert found.shape == (8, 256, 256, 3)
    first = [(int(patch[0, 0, 0]) * 4, int(patch[0, 0, 1]) * 4) for patch in found]
    assert first == [(y, x) for y in (0, 256) for x in (0, 256, 512)] + [(128, 128), (128, 384)]
    np.testing.assert_array_equal(found[7], image[128:384, 384:640])
    assert patches(image[:200]).shape == (0, 256, 256, 3)


# The network.


def mean_inside(x: torch.Tensor) -> torch.Tensor:
    """3x3 means over the values inside the map, as sums divided by counts."""
    ones = torch.ones_like(x)
    kernel = torch.ones(x.shape[1], 1, 3, 3)
    sums, counts = (F.conv2d(v, kernel, padding=1, groups=x.shape[1]) for v in (x, ones))
    return sums / counts


def largest(x: torch.Tensor) -> torch.Tensor:
    """3x3 maxima."""
    padded = F.pad(x, (1, 1, 1, 1), value=-math.inf)
    return padded.unfold(2, 3, 1).unfold(3, 3, 1).amax(dim=(4, 5))


def plain_block(name: str, block: torch.nn.Module) -> torch.nn.Module:
    """torchvision's block of that place, with the same weights."""
    pool = block.get_submodule("branch_pool.conv")
    if name < "Mixed_6a":
        plain = published.InceptionA(pool.in_channels, pool_features=pool.out_channels)
    elif name < "Mixed_7a":
        inner = block.get_submodule("branch7x7_1.conv").out_channels
        plain = published.InceptionC(pool.in_channels, channels_7x7=inner)
    else:
        plain = published.InceptionE(pool.in_channels)
    plain.load_state_dict(block.state_dict())
    return plain.eval()


POOLED = ("5b", "5c", "5d", "6b", "6c", "6d", "6e", "7b", "7c")


@pytest.mark.parametrize("name", [f"Mixed_{place}" for place in POOLED])
def test_blocks_differ_from_torchvision_in_the_pooled_branch(
    network: torch.nn.Module, name: str
) -> None:
    block = network.get_submodule(name)
    pool = block.get_submodule("branch_pool")
    shape = (1, pool.conv.in_channels, 5, 6)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    pooled = largest(x) if name == "Mixed_7c" else mean_inside(x)
    plain = plain_block(name, block)
    with torch.inference_mode():
        ours, theirs, expected = block(x), plain(x), pool(pooled)
    start = -pool.conv.out_channels
    assert torch.equal(ours[:, :start], theirs[:, :start])
    torch.testing.assert_close(ours[:, start:], expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(theirs[:, start:], expected, rtol=1e-2, atol=1e-2)


def test_everything_else_is_torchvisions(network: torch.nn.Module) -> None:
    plain = published.Inception3(num_classes=1008, aux_logits=False, init_weights=False)
    assert [name for name, _ in network.named_children()] == [
        name for name, _ in plain.named_children()
    ]
    for name, part in plain.named_children():
        if not name.startswith(("Mixed", "fc")) or name in ("Mixed_6a", "Mixed_7a"):
            assert type(network.get_submodule(name)) is type(part)
    assert not network.training
    assert not any(value.requires_grad for value in network.parameters())


class _Row(torch.nn.Module):
    """The first channel's row 5, as the start of 2048 features."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[1:] == (3, 299, 299)
        return F.pad(x[:, 0, 5], (0, 2048 - 299))


def test_patches_are_resized_between_pixel_centres() -> None:
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, None, :, None], (1, 256, 256, 3))
    expected = np.clip((np.arange(299) + 0.5) * 256 / 299 - 0.5, 0, 255) / 255 * 2 - 1
    found = pool3(_Row(), ramp, "cpu")
    np.testing.assert_allclose(found[0, :299], expected, atol=1e-5)
    assert pool3(_Row(), ramp[:0], "cpu").shape == (0, 2048)
    with pytest.raises(MeasurementError, match="patches are uint8"):
        pool3(_Row(), ramp.astype(np.float32), "cpu")


def test_features_on_the_cpu_and_on_cuda(folder: Path, network: torch.nn.Module) -> None:
    draws = np.random.default_rng(3)
    two = draws.integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
    found = pool3(network, two, "cpu")
    assert found.shape == (2, 2048)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.abs(found[0] - found[1]).max() > 1e-3
    with fake_cuda() as machine:
        there = pool3(load_inception(folder, "cuda"), two[:1], "cuda")
        assert machine.operations > 200
    np.testing.assert_allclose(there, found[:1], rtol=1e-3, atol=1e-3)


def test_a_file_of_another_network_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "INCEPTION", dataclasses.replace(files.INCEPTION, sha256=""))
    state = random_inception(2)
    del state["Mixed_7c.branch1x1.conv.weight"]
    torch.save(state, tmp_path / files.INCEPTION.name)
    with pytest.raises(MeasurementError, match=r"Mixed_7c\.branch1x1\.conv\.weight is missing"):
        load_inception(tmp_path, "cpu")
    with pytest.raises(MeasurementError, match=r"run `icmbench fetch .*inception-fid`"):
        load_inception(tmp_path / "empty", "cpu")


# Fréchet distance.


def test_frechet_distance_of_known_gaussians() -> None:
    a, b = np.array([1.0, 4.0, 9.0]), np.array([4.0, 4.0, 1.0])
    one = Gaussian(np.array([0.0, 1.0, 2.0]), np.diag(np.sqrt(a)))
    other = Gaussian(np.array([1.0, 1.0, 0.0]), np.diag(np.sqrt(b)))
    assert frechet_distance(one, other) == pytest.approx(5 + 1 + 0 + 4)
    # Two dimensions that do not commute: tr (AB)^(1/2) = (tr AB + 2 (det AB)^(1/2))^(1/2).
    p, q = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, -0.7], [-0.7, 3.0]])
    root = math.sqrt(np.trace(p @ q) + 2 * math.sqrt(np.linalg.det(p @ q)))
    expected = np.trace(p) + np.trace(q) - 2 * root
    given = [Gaussian(np.zeros(2), np.linalg.cholesky(c).T) for c in (p, q)]
    assert frechet_distance(*given) == pytest.approx(expected)


@pytest.mark.parametrize(("count", "digits"), [(300, 1e-7), (20, 1e-7), (5, 1e-5)])
def test_frechet_distance_of_samples(count: int, digits: float) -> None:
    """That of the formula with a root of the matrix; of few features both are singular."""
    draws, mix = np.random.default_rng(4), np.random.default_rng(5).normal(size=(12, 12))
    x, y = ((draws.normal(size=(count, 12)) @ mix).astype(np.float16) + n for n in (0, 1))
    fitted = [fit_gaussian(each) for each in (x, y)]
    covariances = [np.cov(each.astype(float), rowvar=False) for each in (x, y)]
    for one, covariance in zip(fitted, covariances, strict=True):
        assert len(one.factor) <= 12
        np.testing.assert_allclose(one.factor.T @ one.factor, covariance, atol=1e-12)
    difference = x.astype(float).mean(axis=0) - y.astype(float).mean(axis=0)
    np.testing.assert_allclose(fitted[0].mean - fitted[1].mean, difference, atol=1e-12)
    root = np.sqrt(np.clip(np.linalg.eigvals(covariances[0] @ covariances[1]).real, 0, None))
    expected = difference @ difference - 2 * root.sum() + sum(map(np.trace, covariances))
    assert frechet_distance(*fitted) == pytest.approx(expected, rel=digits)
    assert frechet_distance(fitted[0], fitted[0]) == pytest.approx(0, abs=1e-9)


def test_features_that_are_not_finite_are_an_error() -> None:
    with pytest.raises(MeasurementError, match="a feature is not finite"):
        fit_gaussian(np.array([[1.0, np.inf], [0, 1]]))


# Kernel distance.


def test_mmd_is_the_sum_over_pairs() -> None:
    draws = np.random.default_rng(5)
    x, y = draws.normal(size=(4, 3)), draws.normal(size=(5, 3))

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 3 + 1) ** 3)

    within_x = np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    within_y = np.mean([kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    between = np.mean([kernel(a, b) for a in x for b in y])
    assert unbiased_mmd(x, y) == pytest.approx(within_x + within_y - 2 * between)


def test_kid_is_unbiased() -> None:
    """Zero on average for equal distributions, also of few features; biased MMD is 3.2 here."""
    draws = np.random.default_rng(6)
    found = np.array(
        [unbiased_mmd(draws.normal(size=(6, 4)), draws.normal(size=(6, 4))) for _ in range(4000)]
    )
    error = found.std() / math.sqrt(len(found))
    assert abs(found.mean()) < 4 * error < 0.15
    assert (found < 0).mean() > 0.3


def test_kid_is_a_mean_over_subsets() -> None:
    draws = np.random.default_rng(7)
    x, y = draws.normal(size=(1500, 3)), draws.normal(size=(1400, 3)) + 0.5
    assert inspect.signature(kernel_distance).parameters["subsets"].default == 100
    found = kernel_distance(x, y, subsets=8)
    assert found == kernel_distance(x, y, subsets=8)
    assert found.mean == pytest.approx(unbiased_mmd(x, y), rel=0.1)
    assert 0 < found.std < found.mean
    assert kernel_distance(x, y, subsets=1).std == 0
    few = kernel_distance(x[:30].astype(np.float16), y[:30].astype(np.float16))
    assert few.std == 0
    assert few.mean == pytest.approx(unbiased_mmd(x[:30], y[:30]), rel=1e-2)
    with pytest.raises(MeasurementError, match="at least 2"):
        kernel_distance(x[:1], y)
