"""The table of metrics: names, units, directions and the exact settings a report prints."""

from __future__ import annotations

from dataclasses import dataclass

from icmbench.core.errors import MeasurementError


@dataclass(frozen=True)
class Metric:
    """One column of the measurement table.

    `min_side` is the smallest image side in pixels for which the metric is defined; a smaller
    image has the value nan. `settings` is the definition in one sentence, for the table's notes.
    `module` of this package computes it: it is imported by name where the metric is measured, since
    torch, piq, torchvision and lpips take seconds in every job, and so that an edit of one metric
    measures again where that metric is measured. What `needs_weights` is a network, which runs on
    the device, unless it is computed `on_cpu`. `extra` is the optional package that it is computed
    by, by the name of its import and that of its distribution.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool
    min_side: int
    settings: str
    module: str
    needs_weights: bool = False
    on_cpu: bool = False
    extra: tuple[str, str] | None = None

    @property
    def uses_device(self) -> bool:
        """True for networks."""
        return self.needs_weights and not self.on_cpu


_ALL = (
    Metric(
        "psnr_rgb",
        "PSNR (RGB)",
        "dB",
        True,
        1,
        "10 log10(255²/MSE), MSE over all pixels of R, G and B of the 8-bit sRGB images, exact.",
        module="pixel",
    ),
    Metric(
        "psnr_y",
        "PSNR (Y)",
        "dB",
        True,
        1,
        "10 log10(255²/MSE) of the unrounded full-range BT.601 luma 0.299 R + 0.587 G + 0.114 B.",
        module="pixel",
    ),
    Metric(
        "ssim",
        "SSIM",
        "",
        True,
        11,
        "pytorch-msssim: 11x11 Gaussian window, sigma 1.5, valid positions, K = (0.01, 0.03), "
        "range 255, mean over R, G and B, no downsampling.",
        module="structural",
    ),
    Metric(
        "ms_ssim",
        "MS-SSIM",
        "",
        True,
        161,
        "pytorch-msssim: SSIM's settings, 5 scales with weights 0.0448, 0.2856, 0.3001, 0.2363, "
        "0.1333, 2x2 means between scales (odd sides padded with zeros), mean over R, G and B.",
        module="structural",
    ),
    Metric(
        "haarpsi",
        "HaarPSI",
        "",
        True,
        16,
        "piq: colour HaarPSI, 3 scales, C = 30, alpha = 4.2, after 2x2 means.",
        module="similarity",
    ),
    Metric(
        "gmsd",
        "GMSD",
        "",
        False,
        4,  # one pixel after the means has no deviation: 0 for any two images
        "piq: Prewitt gradients of YIQ luma after 2x2 means, t = 170/255².",
        module="similarity",
    ),
    Metric(
        "fsim",
        "FSIMc",
        "",
        True,
        48,
        "piq: FSIMc (with chrominance), 4 scales x 4 orientations, finest wavelength 6, "
        "after means over round(min side/256)² pixels; T1..T4 = 0.85, 160, 200, 200, lambda 0.03; "
        "of two flat images 1 if they are equal, else undefined.",
        module="feature_similarity",
    ),
    Metric(
        "ssimulacra2",
        "SSIMULACRA 2",
        "",
        True,
        8,
        "icmbench: version 2.1 as in libjxl, weights from the package ssimulacra2; agrees with "
        "libjxl's program within the latter's rounding (0.03 points at 200 pixels, 0.2 at 0.4 MP).",
        module="ssimulacra2",
    ),
    Metric(
        "vifp",
        "VIFp",
        "",
        True,
        41,
        "piq: visual information fidelity in the pixel domain of the unrounded BT.601 luma, 4 "
        "scales, variance of the visual noise 2; of a flat original 1 if the images are equal, "
        "else undefined.",
        module="visual_information",
    ),
    Metric(
        "psnr_hvs_m",
        "PSNR-HVS-M",
        "dB",
        True,
        8,
        "psnr_hvsm: 8x8 DCT blocks of the rounded full-range BT.601 luma, what is left over at the "
        "right and below is not used; infinite where no difference is visible.",
        module="psnr_hvs_m",
    ),
    Metric(
        "iw_ssim",
        "IW-SSIM",
        "",
        True,
        161,
        "piq, float64: 5 scales of a Laplacian pyramid of the unrounded BT.601 luma, MS-SSIM's "
        "weights, 3x3 neighbourhoods and their parent, variance of the visual noise 0.4; of a flat "
        "original 1 if the images are equal, else undefined.",
        module="information_weighted",
    ),
    Metric(
        "lpips",
        "LPIPS",
        "",
        False,
        31,
        "lpips: version 0.1, AlexNet (torchvision alexnet-owt-7be5be79), inputs in -1 to 1, "
        "full resolution.",
        needs_weights=True,
        module="learned",
    ),
    Metric(
        "lpips_vgg",
        "LPIPS (VGG)",
        "",
        False,
        16,
        "lpips: version 0.1, VGG-16 (torchvision vgg16-397923af), inputs in -1 to 1, "
        "full resolution.",
        needs_weights=True,
        module="learned",
    ),
    Metric(
        "dists",
        "DISTS",
        "",
        False,
        16,
        "piq: VGG-16 (torchvision vgg16-397923af) with piq's dists_weights.pt, bilinearly "
        "resized without antialiasing to a shorter side of 256 where it is longer.",
        needs_weights=True,
        module="learned",
    ),
    Metric(
        "feature_distance",
        "Feature distance",
        "",
        False,
        32,
        "icmbench: EfficientNet-Lite0 with its published weights, full resolution; mean over the "
        "maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of the mean over places of 1 - cosine of the "
        "channels; a classifier's features, fitted to no judgements of people.",
        needs_weights=True,
        module="feature_distance",
    ),
    Metric(
        "niqe",
        "NIQE",
        "",
        False,
        192,  # four blocks: the covariance of fewer says little
        "icmbench: of the reconstruction alone; 36 features of blocks of 96x96 pixels of the "
        "rounded luminance (MATLAB's rgb2gray), what is left over at the right and below is cut; "
        "pristine model of the authors' release (niqe_modelparameters.mat).",
        needs_weights=True,
        on_cpu=True,
        module="niqe",
    ),
    Metric(
        "cvvdp",
        "ColorVideoVDP",
        "JOD",
        True,
        8,
        "cvvdp (package of its authors): still images on its display standard_4k (30 inches, "
        "3840x2160, 200 cd/m², seen from 0.75 m).",
        module="cvvdp",
        extra=("pycvvdp", "cvvdp"),
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}


def metric_module(name: str) -> str:
    """Return the module that computes a metric; MeasurementError for an unknown name."""
    if name not in METRICS:
        raise MeasurementError(f"no metric is called {name!r}; there are {', '.join(METRICS)}")
    return f"{__package__}.{METRICS[name].module}"


def why_undefined(name: str, height: int, width: int) -> str:
    """Reason for the missing value of a metric on a pair of images of this size."""
    side = METRICS[name].min_side
    if min(height, width) < side:
        return f"a side is below {side} pixels"
    return "both images are flat" if name == "fsim" else "the original is flat"
