"""VGG activations of one patch (MPD, Fig. 2): channels of the taps, spectra, and their profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.axes import log_axis, plain
from icmbench.reporting.figures.panels import EDGE
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.sheets import Pixels, Sheet
from icmbench.reporting.figures.style import MUTED, family_styles, theme

if TYPE_CHECKING:  # figures do not wait for torch
    from icmbench.codecs.mpd.training.descriptors import Sector

Floats = NDArray[np.floating[Any]]
CHANNELS: Final = 4  # of a tap, drawn
# Inches: height of the text above the patch, side of the patch, width of the row labels, side of
# the small images.
_WORDS, _PATCH, _LABEL, _THUMB = 0.22, 1.75, 1.3, 0.74
_PAIR, _BETWEEN, _CAPTION, _BELOW_PROFILE, _TITLES = 0.04, 0.16, 0.21, 0.62, 0.3
_LEGEND = 1.0
_NOTE = (
    "Response: per tap the channels with the largest standard deviation over the patch, largest "
    "first. Spectrum: ln(1 + magnitude) of that channel's orthonormal 2-D Fourier transform, zero "
    "frequency in the centre, up to the frequency given at the left (c/px: cycles per pixel of the "
    "original image). Every small image has its own scale; bright is large. Profile: the "
    "descriptor, mean over channels and orientations, at the (geometric) middle of each ring; "
    "frequency 0 is left out."
)


def log_magnitude(tap: Floats) -> NDArray[np.float64]:
    """ln(1 + |F|) of every channel's orthonormal 2-D DFT, zero frequency at (h // 2, w // 2).

    Args:
        tap: float (C, h, w).
    """
    spectrum = np.fft.fft2(np.asarray(tap, np.float64), axes=(-2, -1), norm="ortho")
    return np.log1p(np.abs(np.fft.fftshift(spectrum, axes=(-2, -1))))


def strongest(tap: Floats, count: int) -> list[int]:
    """Channels of largest standard deviation, largest first, ties to the smaller index."""
    std = np.asarray(tap, np.float64).std(axis=(1, 2))
    return [int(index) for index in np.argsort(-std, kind="stable")[:count]]


def ring_profile(
    spectrum: Floats, bins: Sequence[Sector], size: int, stride: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequency and descriptor of every ring, mean over channels and over the ring's bins.

    Args:
        spectrum: float (C, bins), the descriptor of a tap.
        bins: in the order of `spectrum`'s columns.
        size: side of the tap, in samples.
        stride: pixels of the original image per sample.

    Returns:
        Cycles per pixel of the original image (the geometric middle of the ring, which ends at
        the highest frequency of the tap), and means. Both leave out frequency 0.
    """
    inner = np.array([sector.inner for sector in bins], np.float64)
    outer = np.minimum([sector.outer for sector in bins], size / np.sqrt(2))
    middles, means = np.sqrt(inner * outer), np.asarray(spectrum, np.float64).mean(axis=0)
    rings = np.unique(middles[inner > 0])
    return rings / (size * stride), np.array([means[middles == ring].mean() for ring in rings])


def taps_and_spectra(
    image: Pixels,
    taps: Mapping[str, Floats],
    spectra: Mapping[str, Floats],
    bins: Mapping[str, Sequence[Sector]],
    *,
    title: str = "Taps and their spectra",
    quantity: str = "pooled ln(1 + magnitude)",
) -> Figure:
    """Draw a patch, the strongest channels of each tap beside their spectra, and the profiles.

    Args:
        image: the patch, uint8 (H, H, 3).
        taps: name -> float (C, h, h), where h divides H; shallowest first.
        spectra: name -> float (C, bins), the tap's descriptor.
        bins: name -> its bins, as from `icmbench.codecs.mpd.training.descriptors.sectors(h)`.
        quantity: name and unit of the values in `spectra`: the axis label of the profile.

    Returns:
        The figure; a placeholder without taps.

    Raises:
        MeasurementError: names, shapes or bins do not match.
    """
    if not taps:
        return placeholder(title, "the network has no tap.")
    strides = {name: _stride(image, name, tap) for name, tap in taps.items()}
    _check(taps, spectra, bins)
    profiles = {
        name: ring_profile(spectra[name], bins[name], tap.shape[1], strides[name])
        for name, tap in taps.items()
    }
    across = min(CHANNELS, max(len(tap) for tap in taps.values()))
    wide = max(2 * EDGE + _LABEL + across * (2 * _THUMB + _PAIR + _BETWEEN) - _BETWEEN, 6.4)
    first = _WORDS + _PATCH + _BELOW_PROFILE + _TITLES
    with theme():
        sheet = Sheet(wide, first + len(taps) * (_THUMB + _CAPTION) - 0.08, title, _NOTE)
        size = f"patch, {image.shape[1]} \u00d7 {image.shape[0]} px"
        sheet.words(EDGE, sheet.top, size)
        axes = sheet.axes(EDGE, sheet.top + _WORDS, _PATCH, _PATCH)
        axes.imshow(image, aspect="auto", interpolation="nearest")
        axes.set_axis_off()
        left = EDGE + _PATCH + 0.85
        axes = sheet.axes(left, sheet.top + _WORDS, wide - EDGE - left - _LEGEND, _PATCH)
        _profile(axes, profiles, quantity)
        for row, (name, tap) in enumerate(taps.items()):
            top = sheet.top + first + row * (_THUMB + _CAPTION)
            _row(sheet, top, name, tap, strides[name], titles=row == 0)
    return sheet.figure


def _stride(image: Pixels, name: str, tap: Floats) -> int:
    """Pixels of the image per sample of the tap."""
    if image.dtype != np.uint8 or image.shape != (len(image), len(image), 3):
        raise MeasurementError(f"a patch is uint8 (H, H, 3), not {image.dtype} {image.shape}")
    if tap.ndim != 3 or not tap.size or tap.shape[1] != tap.shape[2] or len(image) % tap.shape[1]:
        raise MeasurementError(
            f"{name} {tap.shape} is not a tap (C, h, h) of a patch {image.shape[:2]}"
        )
    if not np.isfinite(tap).all():
        raise MeasurementError(f"{name} has values that are not finite")
    return int(len(image) // tap.shape[1])


def _check(
    taps: Mapping[str, Floats], spectra: Mapping[str, Floats], bins: Mapping[str, Sequence[Sector]]
) -> None:
    if not set(taps) == set(spectra) == set(bins):
        raise MeasurementError(
            f"taps {sorted(taps)}, but spectra {sorted(spectra)} and bins {sorted(bins)}"
        )
    for name, tap in taps.items():
        if spectra[name].shape != (len(tap), len(bins[name])):
            raise MeasurementError(
                f"{name}: a descriptor {spectra[name].shape} of {len(tap)} channels and "
                f"{len(bins[name])} bins"
            )
        if not np.isfinite(spectra[name]).all():
            raise MeasurementError(f"{name}: its descriptor has values that are not finite")


def _profile(
    axes: Axes,
    profiles: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    quantity: str,
) -> None:
    styles = family_styles(profiles)
    for name, (frequencies, values) in profiles.items():
        style = styles[name]
        axes.plot(
            frequencies, values, color=style.colour, linestyle=style.dash, linewidth=1.4,
            marker=style.marker, markersize=4.2, label=name,
        )  # fmt: skip
    log_axis(axes, "x", np.concatenate([own[0] for own in profiles.values()]).tolist(), most=6)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(plain))
    axes.set_xlabel("cycles per pixel of the original image (log)")
    axes.set_ylabel(quantity)
    axes.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.02),
        handlelength=2.2, fontsize=7.5, borderaxespad=0.3,
    )  # fmt: skip


def _row(sheet: Sheet, top: float, name: str, tap: Floats, stride: int, *, titles: bool) -> None:
    """Draw the label, the channels and the spectra of one tap."""
    words = f"{tap.shape[2]} \u00d7 {tap.shape[1]}, stride {stride}\nto {plain(0.5 / stride)} c/px"
    sheet.words(EDGE, top + 0.14, name)
    sheet.text(EDGE, top + 0.32, words, fontsize=7, color=MUTED, linespacing=1.35)
    spectra = log_magnitude(tap)
    for column, channel in enumerate(strongest(tap, CHANNELS)):
        left = EDGE + _LABEL + column * (2 * _THUMB + _PAIR + _BETWEEN)
        sheet.text(left, top - 0.12, f"channel {channel}", fontsize=6.5, color=MUTED)
        pictures = {"response": (tap[channel], "gray"), "spectrum": (spectra[channel], "magma")}
        for side, (what, (values, colours)) in enumerate(pictures.items()):
            x = left + side * (_THUMB + _PAIR)
            axes = sheet.axes(x, top, _THUMB, _THUMB)
            axes.imshow(values, aspect="auto", cmap=colours, interpolation="nearest")
            axes.set_axis_off()
            if titles:
                sheet.text(x, top - 0.29, what, fontsize=7.5)
