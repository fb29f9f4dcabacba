"""NIQE: features against an independent computation, its order on distortions, its file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from scipy import ndimage, optimize, signal, special, stats

from icmbench.core.errors import MeasurementError
from icmbench.metrics import METRICS
from icmbench.metrics import weights as files
from icmbench.metrics.availability import available
from icmbench.metrics.meter import Meter
from icmbench.metrics.niqe import aggd, block_features, distance, halved, luminance, normalised


def photograph(seed: int, height: int = 192, width: int = 288) -> np.ndarray:
    """A picture with the spectrum of photographs and some edges, uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    amplitude = 1 / np.maximum(np.hypot(rows, columns), 1 / width)
    texture = np.fft.ifft2(amplitude * np.fft.fft2(rng.normal(size=(height, width)))).real
    edges = np.sign(ndimage.gaussian_filter(rng.normal(size=(height, width)), 12))
    grey = 128 + 35 * texture / texture.std() + 25 * edges
    return np.clip(np.round(grey), 0, 255).astype(np.uint8)[:, :, None].repeat(3, axis=2)


# Features.


def fitted(values: np.ndarray) -> list[float]:
    """Shape, mean and scales of an AGGD, the shape as a root instead of from a table."""
    left = math.sqrt(np.mean([v * v for v in values.ravel() if v < 0]))
    right = math.sqrt(np.mean([v * v for v in values.ravel() if v > 0]))
    ratio = left / right
    moment = np.mean(np.abs(values)) ** 2 / np.mean(values**2)
    wanted = moment * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2

    def excess(shape: float) -> float:
        logs = 2 * special.gammaln(2 / shape) - special.gammaln(1 / shape)
        return float(np.exp(logs - special.gammaln(3 / shape)) - wanted)

    shape = optimize.brentq(excess, 0.2, 10)
    scale = math.sqrt(math.gamma(1 / shape) / math.gamma(3 / shape))
    mean = (right - left) * scale * math.gamma(2 / shape) / math.gamma(1 / shape)
    return [shape, mean, left * scale, right * scale]


def by_hand(grey: np.ndarray) -> np.ndarray:
    """All features, by two-dimensional windows, matrices and explicit neighbours."""
    height, width = (96 * (length // 96) for length in grey.shape)
    image, parts = grey[:height, :width], []
    for side in (96, 48):
        place = np.mgrid[-3:4, -3:4]
        window = np.exp(-(place[0] ** 2 + place[1] ** 2) / (2 * (7 / 6) ** 2))
        window /= window.sum()

        def smooth(values: np.ndarray, window: np.ndarray = window) -> np.ndarray:
            return signal.convolve2d(np.pad(values, 3, mode="edge"), window, mode="valid")

        mean = smooth(image)
        values = (image - mean) / (np.sqrt(np.abs(smooth(image**2) - mean**2)) + 1)
        rows = []
        for top in range(0, values.shape[0], side):
            for left in range(0, values.shape[1], side):
                block = values[top : top + side, left : left + side]
                first = fitted(block)
                row = [first[0], (first[2] + first[3]) / 2]
                for down, right in ((0, 1), (1, 0), (1, 1), (-1, 1)):
                    near = np.empty_like(block)
                    for i in range(side):
                        for j in range(side):
                            near[i, j] = block[(i - down) % side, (j - right) % side]
                    row += fitted(block * near)
                rows.append(row)
        parts.append(np.array(rows))
        image = bicubic(image.shape[0]) @ image @ bicubic(image.shape[1]).T
    return np.concatenate(parts, axis=1)


def bicubic(length: int) -> np.ndarray:
    """Matrix (length / 2, length) of a reduction by two, mirrored at the ends."""

    def kernel(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    matrix = np.zeros((length // 2, length))
    for row in range(length // 2):
        for source in range(2 * row - 4, 2 * row + 6):
            index = -1 - source if source < 0 else source
            index = 2 * length - 1 - index if index >= length else index
            matrix[row, index] += kernel((source - 2 * row - 0.5) / 2)
    return matrix / matrix.sum(axis=1, keepdims=True)


def test_features_equal_an_independent_computation() -> None:
    grey = luminance(photograph(1, 100, 200))
    found, expected = block_features(grey), by_hand(grey)
    assert found.shape == expected.shape == (2, 36)
    shapes = [0, 2, 6, 10, 14, 18, 20, 24, 28, 32]
    assert np.abs(found - expected)[:, shapes].max() < 6e-4  # steps of 0.001
    assert found == pytest.approx(expected, rel=4e-3, abs=1e-3)


def test_half_a_picture() -> None:
    image = np.random.default_rng(1).normal(size=(20, 36))
    assert halved(image) == pytest.approx(bicubic(20) @ image @ bicubic(36).T)


def test_a_fit_finds_the_parameters_of_its_distribution() -> None:
    rng = np.random.default_rng(1)
    for shape in (0.8, 1.5, 2.5):
        sample = stats.gennorm.rvs(shape, size=200_000, random_state=rng)
        _, left, right, mean = aggd(sample * np.where(sample < 0, 0.5, 1.5))
        # Of as many values on either side, the wider one keeps its scale.
        assert right / left == pytest.approx(3, rel=0.02)
        assert mean > 0
        if shape == 1.5:
            assert aggd(sample)[0] == pytest.approx(shape, abs=0.03)
            assert aggd(sample)[1:3] == pytest.approx((1, 1), abs=0.02)
    assert np.isnan(aggd(np.ones(9))[1:]).all()


def test_luminance_is_rounded_and_normalised_luminance_flat_where_nothing_is() -> None:
    pixels = np.array([[[10, 20, 30], [255, 255, 255]]], np.uint8)
    assert luminance(pixels).tolist() == [[18, 255]]  # 18.15
    assert np.abs(normalised(np.full((20, 20), 7.0))).max() < 1e-9


def test_distance_by_hand() -> None:
    """Two blocks, a diagonal model: the pooled covariance is known."""
    features = np.zeros((2, 36))
    features[0, 0], features[1, 0] = 1, 3  # mean 2, variance 2
    mean = np.zeros(36)
    mean[1] = 1
    value = distance(features, mean, 2 * np.eye(36))
    assert value == pytest.approx(math.sqrt(2**2 / 2 + 1 / 1))


# The metric.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of the test's own clean pictures, in the published format."""
    pristine = np.concatenate([block_features(luminance(photograph(n))) for n in range(100, 112)])
    place = tmp_path_factory.mktemp("weights")
    model = {
        "mu_prisparam": pristine.mean(axis=0, keepdims=True),
        "cov_prisparam": np.cov(pristine, rowvar=False),
    }
    scipy.io.savemat(place / files.NIQE.name, model)
    return place


def test_niqe_grows_with_blur_and_with_noise(folder: Path) -> None:
    meter = Meter(["niqe"], folder)
    clean = photograph(1)
    noise = np.random.default_rng(2).normal(size=clean.shape[:2])[:, :, None]

    def value(picture: np.ndarray) -> float:
        return meter(clean, np.clip(np.round(picture), 0, 255).astype(np.uint8))["niqe"]

    blurred = [value(ndimage.gaussian_filter(clean.astype(float), (s, s, 0))) for s in (0, 1, 2, 4)]
    noisy = [value(clean + s * noise) for s in (0, 10, 25, 60)]
    for values in (blurred, noisy):
        assert values == sorted(values)
        assert values[-1] > 2 * values[0]
    other = meter(photograph(2), clean)["niqe"]
    assert other == blurred[0]  # the original plays no part
    assert not METRICS["niqe"].higher_is_better


def test_small_and_flat_pictures_have_no_value(folder: Path) -> None:
    meter = Meter(["niqe"], folder)
    small, flat = photograph(1, 191, 300), np.full((192, 192, 3), 9, np.uint8)
    assert math.isnan(meter(small, small)["niqe"])
    assert math.isnan(meter(flat, flat)["niqe"])


def test_a_missing_or_other_file_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    names, reasons = available(tmp_path)
    assert "niqe" not in names
    assert f"icmbench fetch --downloads {tmp_path} niqe" in reasons["niqe"]
    assert "niqe" in available(folder)[0]
    with pytest.raises(MeasurementError, match=f"{files.NIQE.name} is not in"):
        Meter(["niqe"], tmp_path)
    path = tmp_path / files.NIQE.name
    path.write_bytes((folder / files.NIQE.name).read_bytes()[:300])
    with pytest.raises(MeasurementError, match="is no MATLAB file with mu_prisparam"):
        Meter(["niqe"], tmp_path)
    scipy.io.savemat(path, {"mu_prisparam": np.ones((1, 36))})
    with pytest.raises(MeasurementError, match="is no MATLAB file with mu_prisparam"):
        Meter(["niqe"], tmp_path)
    scipy.io.savemat(path, {"mu_prisparam": np.ones((1, 18)), "cov_prisparam": np.eye(36)})
    with pytest.raises(MeasurementError, match=r"shapes \(18,\) and \(36, 36\), expected 36"):
        Meter(["niqe"], tmp_path)
