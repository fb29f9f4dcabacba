"""The image metrics against independent implementations, libjxl's program and hand calculation.

Tolerances. PSNR is exact integer arithmetic: 1e-9. Torch computes the others in float32, whose
rounding was measured at up to 5e-6 on the stored pairs: 2e-5 (GMSD, FSIM: 1e-6, they cancel less).
SSIMULACRA 2 is in points of 100: libjxl's own single-precision filter leaves 0.025 on the stored
pairs: 0.05. VIFp in float32 is within 3e-5 of its authors' program (1e-4), IW-SSIM within 8e-6 of
another port, which inverts the covariance otherwise (2e-5), PSNR-HVS-M within 1e-9 (1e-6).
`test_planted_faults_exceed_the_tolerances` shows that these bounds are tight enough.
"""

from __future__ import annotations

import importlib.util
import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import piq
import pytest
import pytorch_msssim
import reference_metrics as reference
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from icmbench.core.errors import MeasurementError
from icmbench.metrics import METRICS, available, cvvdp, ssimulacra2
from icmbench.metrics.meter import Meter, _settled_torch
from icmbench.metrics.picture import Picture

DATA = Path(__file__).parent / "data" / "metrics"
PLAIN = [name for name, m in METRICS.items() if not m.needs_weights and not m.extra]
DAMAGE = ("jpeg75", "jpeg30", "jpeg8", "blur", "noise", "contrast", "tint")
PAIRS = [("scene", f"scene_{damage}") for damage in DAMAGE] + [("odd", "odd_jpeg15")]
TOLERANCE = {
    "psnr_rgb": 1e-9,
    "psnr_y": 1e-9,
    "ssim": 2e-5,
    "ms_ssim": 2e-5,
    "haarpsi": 2e-5,
    "gmsd": 1e-6,
    "fsim": 1e-5,
    "ssimulacra2": 0.05,
    "vifp": 1e-4,
    "psnr_hvs_m": 1e-6,
    "iw_ssim": 2e-5,
}
ASYMMETRIC = ("ssimulacra2", "vifp", "iw_ssim")


def luma(image: np.ndarray) -> np.ndarray:
    """Y of JPEG, plane by plane, as its standard writes it."""
    red, green, blue = (image[..., c].astype(np.float64) for c in range(3))
    return 0.299 * red + 0.587 * green + 0.114 * blue


INDEPENDENT = {
    "psnr_rgb": lambda a, b: peak_signal_noise_ratio(a, b, data_range=255),
    "psnr_y": lambda a, b: peak_signal_noise_ratio(luma(a), luma(b), data_range=255),
    "ssim": lambda a, b: structural_similarity(
        a,
        b,
        data_range=255,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    ),
    "ms_ssim": reference.ms_ssim,
    "haarpsi": reference.haarpsi,
    "gmsd": reference.gmsd,
    "fsim": reference.fsim,
}


@cache
def stored(name: str) -> np.ndarray:
    image = np.asarray(Image.open(DATA / f"{name}.png"))
    image.flags.writeable = False
    return image


@cache
def measured(original: str, reconstruction: str) -> dict[str, float]:
    return Meter(PLAIN)(stored(original), stored(reconstruction))


def one(name: str, original: np.ndarray, reconstruction: np.ndarray) -> float:
    return Meter([name])(original, reconstruction)[name]


# Values


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[1])
def test_values_equal_independent_implementations(pair: tuple[str, str]) -> None:
    ours = measured(*pair)
    for name, implementation in INDEPENDENT.items():
        theirs = implementation(stored(pair[0]), stored(pair[1]))
        assert ours[name] == pytest.approx(theirs, abs=TOLERANCE[name], rel=0), name


def libjxl_pairs() -> list[dict]:
    return json.loads((DATA / "ssimulacra2.json").read_text())["pairs"]


@pytest.mark.parametrize("pair", libjxl_pairs(), ids=lambda p: f"{p['reconstruction']}{p['crop']}")
def test_ssimulacra2_equals_libjxl(pair: dict) -> None:
    images = [stored(pair["original"]), stored(pair["reconstruction"])]
    if pair["crop"]:
        top, left, height, width = pair["crop"]
        images = [image[top : top + height, left : left + width] for image in images]
    assert one("ssimulacra2", *images) == pytest.approx(pair["score"], abs=0.05)


def test_psnr_by_hand() -> None:
    black = np.zeros((4, 5, 3), np.uint8)
    dot = black.copy()
    dot[1, 2, 0] = 10  # red: MSE (RGB) 100 / 60; luma 2.99, MSE (Y) 2.99² / 20
    values = Meter(["psnr_rgb", "psnr_y"])(black, dot)
    assert values["psnr_rgb"] == pytest.approx(10 * math.log10(65025 * 60 / 100), abs=1e-12)
    assert values["psnr_y"] == pytest.approx(10 * math.log10(65025 * 20 / 8.9401), abs=1e-12)
    white = np.full_like(black, 255)
    assert Meter(["psnr_rgb", "psnr_y"])(black, white) == {"psnr_rgb": 0.0, "psnr_y": 0.0}


@pytest.mark.parametrize("times", [2, 3])
def test_fsim_of_larger_images_is_taken_after_downsampling(times: int) -> None:
    large = [stored(name).repeat(times, 0).repeat(times, 1) for name in ("odd", "odd_jpeg15")]
    large = [image[3:] for image in large]  # 165 · 3 = 495: factor 2, with rows left over
    assert one("fsim", *large) == pytest.approx(reference.fsim(*large), abs=1e-5)


@pytest.mark.parametrize("shape", [(161, 170), (162, 203), (180, 161)])
@pytest.mark.parametrize("block", [1, 8])
def test_values_equal_the_packages_to_the_last_bit(shape: tuple[int, int], block: int) -> None:
    """An original's maps are kept from one reconstruction to the next, and nothing else changes."""
    random = np.random.default_rng(block * shape[1])
    small = random.integers(0, 256, (shape[0] // block + 1, shape[1] // block + 1, 3))
    original = small.repeat(block, 0).repeat(block, 1)[: shape[0], : shape[1]].astype(np.uint8)
    meter = Meter(["ssim", "ms_ssim", "haarpsi", "gmsd", "ssimulacra2"])
    for spread in (1, 9, 80, 255):
        noise = random.integers(-spread, spread + 1, original.shape)
        noisy = np.clip(original + noise, 0, 255).astype(np.uint8)
        assert meter(original, noisy) == direct(original, noisy)


@_settled_torch()
def direct(original: np.ndarray, reconstruction: np.ndarray) -> dict[str, float]:
    """The packages' own functions; SSIMULACRA 2 written plainly on this module's maps."""
    x, y = (Picture(image).tensor for image in (original, reconstruction))
    a, b = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (x, y))
    scales = zip(*(ssimulacra2._scales(image) for image in (original, reconstruction)), strict=True)
    norms = torch.stack([reference.ssimulacra2_norms(*pair) for pair in scales])
    terms = norms.permute(1, 0, 3, 2).reshape(-1).numpy()
    return {
        "ssim": float(pytorch_msssim.ssim(a, b, data_range=255)),
        "ms_ssim": float(pytorch_msssim.ms_ssim(a, b, data_range=255)),
        "haarpsi": float(piq.haarpsi(x, y, data_range=255)),
        "gmsd": float(piq.gmsd(x, y, data_range=255)),
        "ssimulacra2": ssimulacra2._score(float(ssimulacra2._weights()[: terms.size] @ terms)),
    }


def jpeg_ai_pairs() -> list[dict]:
    """Values of the programs that are named in the file, which share no code with ours."""
    return json.loads((DATA / "jpeg_ai.json").read_text())["pairs"]


@pytest.mark.parametrize("pair", jpeg_ai_pairs(), ids=lambda pair: pair["reconstruction"])
def test_values_equal_the_authors_programs(pair: dict) -> None:
    ours = measured(pair["original"], pair["reconstruction"])
    for name in ("vifp", "psnr_hvs_m", "iw_ssim"):
        assert ours[name] == pytest.approx(pair[name], abs=TOLERANCE[name], rel=0), name


@pytest.mark.parametrize("pair", jpeg_ai_pairs(), ids=lambda pair: pair["reconstruction"])
def test_cvvdp_equals_its_program(pair: dict) -> None:
    """Where the optional package is installed; its program prints four digits."""
    pytest.importorskip("pycvvdp")
    found = one("cvvdp", stored(pair["original"]), stored(pair["reconstruction"]))
    assert found == pytest.approx(pair["cvvdp"], abs=2e-4)


def test_cvvdp_hands_over_the_reconstruction_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's order of arguments and of dimensions, without the package."""
    original, damaged = stored("scene"), stored("scene_jpeg8")

    class Stub:
        def predict(self, test: object, reference: object, **options: str) -> tuple[float, None]:
            assert test is given[1].pixels
            assert reference is given[0].pixels
            assert options == {"dim_order": "HWC"}
            return 8.5, None

    given = Picture(original), Picture(damaged)
    monkeypatch.setattr(cvvdp, "_metric", Stub)
    assert cvvdp.cvvdp(*given) == 8.5


def test_an_optional_metric_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pycvvdp" else found(name)
    )
    names, reasons = available()
    assert "cvvdp" not in names
    assert "pip install cvvdp" in reasons["cvvdp"]


# Properties


@pytest.mark.parametrize("name", PLAIN)
def test_monotone_in_jpeg_damage(name: str) -> None:
    values = [measured("scene", f"scene_jpeg{quality}")[name] for quality in (75, 30, 8)]
    assert values == sorted(values, reverse=METRICS[name].higher_is_better)
    assert len(set(values)) == 3


@pytest.mark.parametrize("original", ["scene", "odd"])
def test_equal_images(original: str) -> None:
    values = measured(original, original)
    assert values["psnr_rgb"] == values["psnr_y"] == math.inf
    assert values["gmsd"] == 0.0
    assert values["ssimulacra2"] == 100.0
    assert values["haarpsi"] == pytest.approx(1.0, abs=5e-6)  # a logit in float32
    assert values["psnr_hvs_m"] == math.inf
    assert values["vifp"] == values["iw_ssim"] == 1.0
    for name in ("ssim", "ms_ssim", "fsim"):
        assert values[name] == pytest.approx(1.0, abs=1e-6), name


@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_images(level: int) -> None:
    """FSIM is a mean weighted by phase congruency: of two flat images all weights are 0.

    VIFp and IW-SSIM are weighted by the information of the original, of which there is none.
    """
    flat = np.full((170, 170, 3), level, np.uint8)
    other = np.full((170, 170, 3), 100, np.uint8)
    values = Meter(PLAIN)(flat, other)
    assert all(math.isnan(values.pop(name)) for name in ("fsim", "vifp", "iw_ssim"))
    assert all(math.isfinite(v) for v in values.values())
    assert values["psnr_rgb"] < 30
    assert values["ssim"] < 0.99
    same = Meter(PLAIN)(flat, flat)
    assert same["fsim"] == same["vifp"] == same["iw_ssim"] == 1.0
    assert same["psnr_hvs_m"] == math.inf
    assert same["haarpsi"] == pytest.approx(1.0, abs=1e-5)


def test_a_flat_and_another_image_have_values() -> None:
    """Not both are flat, in either order and by one code value of one pixel: FSIM has a value."""
    flat = np.full((64, 64, 3), 90, np.uint8)
    dotted = flat.copy()
    dotted[30, 30, 1] = 91
    for pair in ((flat, dotted), (dotted, flat), (flat, stored("scene")[:64, :64])):
        assert 0 <= one("fsim", *pair) < 1
    assert one("fsim", dotted, dotted) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (3, 40), (10, 10), (47, 60)])
def test_no_value_of_a_tiny_image_is_a_perfect_one(shape: tuple[int, int]) -> None:
    """Opposite images: GMSD of one pixel after its means would be 0, the best there is."""
    noise = np.random.default_rng(7).integers(0, 256, (*shape, 3)).astype(np.uint8)
    best = {"gmsd": 0.0, "ssimulacra2": 100.0}
    best |= dict.fromkeys(("psnr_rgb", "psnr_y", "psnr_hvs_m"), math.inf)
    for name, value in Meter(PLAIN)(noise, 255 - noise).items():
        assert math.isnan(value) == (min(shape) < METRICS[name].min_side), name
        assert value != best.get(name, 1.0), name


def test_symmetric_but_some() -> None:
    forward, backward = measured("odd", "odd_jpeg15"), measured("odd_jpeg15", "odd")
    for name in PLAIN:
        if name not in ASYMMETRIC:
            assert forward[name] == pytest.approx(backward[name], rel=1e-6), name
    assert abs(forward["ssimulacra2"] - backward["ssimulacra2"]) > 0.1
    assert abs(forward["vifp"] - backward["vifp"]) > 0.005
    assert abs(forward["iw_ssim"] - backward["iw_ssim"]) > 1e-4


def test_planted_faults_exceed_the_tolerances() -> None:
    """BGR for RGB, a reconstruction cropped one pixel off, and a lost border row are all seen."""
    original, damaged = stored("scene"), stored("scene_jpeg30")
    right = measured("scene", "scene_jpeg30")
    swapped = Meter(PLAIN)(original[..., ::-1].copy(), damaged[..., ::-1].copy())
    shifted = Meter(PLAIN)(original[1:], damaged[:-1])
    cropped = Meter(PLAIN)(original[:-1], damaged[:-1])
    for name in PLAIN:
        if name not in ("psnr_rgb", "ssim", "ms_ssim"):  # these treat channels alike by definition
            assert abs(swapped[name] - right[name]) > 5 * TOLERANCE[name], name
        assert abs(shifted[name] - right[name]) > 100 * TOLERANCE[name], name
        if name not in ("ssimulacra2", "iw_ssim"):  # one plain row of 176: 0.01 points and 1e-5
            assert abs(cropped[name] - right[name]) > TOLERANCE[name], name


# The meter


def test_values_do_not_depend_on_what_was_measured_before() -> None:
    used = Meter(PLAIN)
    for damage in DAMAGE:
        used(stored("scene"), stored(f"scene_{damage}"))
    used(stored("odd"), stored("odd_jpeg15"))
    assert used(stored("scene"), stored("scene_jpeg8")) == measured("scene", "scene_jpeg8")


def test_reused_buffers_are_noticed() -> None:
    buffer = stored("scene").copy()
    meter = Meter(["psnr_rgb", "ssim"])
    meter(buffer, stored("scene_jpeg8"))
    buffer[:] = stored("scene_jpeg8")
    assert meter(buffer, stored("scene_jpeg8"))["psnr_rgb"] == math.inf
    assert meter(buffer, stored("scene_jpeg8"))["ssim"] == 1.0


def test_views_are_measured_as_their_copies() -> None:
    a, b = stored("scene")[:, ::-1], stored("scene_jpeg30")[:, ::-1]
    assert Meter(PLAIN)(a, b) == Meter(PLAIN)(a.copy(), b.copy())


def test_torch_settings_are_restored_and_do_not_change_values() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        values = Meter(PLAIN)(stored("odd"), stored("odd_jpeg15"))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert values == measured("odd", "odd_jpeg15")
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("name", PLAIN)
def test_smallest_side(name: str) -> None:
    side = METRICS[name].min_side
    original, damaged = (stored(n)[:, -170:] for n in ("scene", "scene_jpeg30"))
    assert math.isfinite(one(name, original[-side:], damaged[-side:]))
    assert math.isfinite(one(name, original[-170:, -side:], damaged[-170:, -side:]))
    if side > 1:
        assert math.isnan(one(name, original[: side - 1], damaged[: side - 1]))
        assert math.isnan(one(name, original[:, : side - 1], damaged[:, : side - 1]))


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((20, 20), np.uint8),
        np.zeros((20, 20, 4), np.uint8),
        np.zeros((20, 20, 3), np.float32),
        np.zeros((20, 0, 3), np.uint8),
    ],
    ids=["grey", "alpha", "float", "empty"],
)
def test_other_images_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(MeasurementError):
        Meter(["psnr_rgb"])(bad, bad)
    good = np.zeros((20, 20, 3), np.uint8)
    meter = Meter(["psnr_rgb"])
    meter(good, good)
    with pytest.raises(MeasurementError):  # zeros of another type equal the remembered image
        meter(bad, good)
    with pytest.raises(MeasurementError):
        meter(good, bad)


def test_unequal_sizes_and_unknown_names_are_refused() -> None:
    with pytest.raises(MeasurementError, match="one size"):
        Meter(["psnr_rgb"])(stored("scene"), stored("scene")[:-1])
    with pytest.raises(MeasurementError, match="psnr_rbg"):
        Meter(["psnr_rbg"])


def test_table_of_metrics() -> None:
    assert [m.name for m in METRICS.values()] == list(METRICS)
    assert list(measured("scene", "scene")) == PLAIN
    for metric in METRICS.values():
        assert metric.title
        assert metric.settings.endswith(".")
        assert metric.unit in ("dB", "", "JOD")
    assert available()[0][: len(PLAIN)] == PLAIN
