"""Figures of Diff-ICMH: reconstructions at every rate, and samples of the prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.sheets import Panel, Pixels, original_panel, picture_sheet
from icmbench.reporting.figures.style import theme


@dataclass(frozen=True)
class RateReconstruction:
    """The reconstruction at one rate.

    Attributes:
        rate: index of the rate; 1 is the lowest.
        codec: codec spec.
        bytes: size of the file.
        psnr: of the reconstruction against the original, in dB.
        tags: names of the tags in the file.
        picture: the reconstruction, uint8 (H, W, 3).
    """

    rate: int
    codec: str
    bytes: int
    psnr: float
    tags: tuple[str, ...]
    picture: Pixels

    @property
    def bpp(self) -> float:
        """Bits of the file per pixel of the original."""
        height, width = self.picture.shape[:2]
        return 8 * self.bytes / int(height * width)


def diffusion_rates(original: Pixels, rates: Sequence[RateReconstruction], *, title: str) -> Figure:
    """Draw the original and the reconstruction at each rate, lowest rate first.

    Raises MeasurementError without a rate, or where a size differs from the original's.
    """
    if not rates:
        raise MeasurementError("a figure of rates needs at least one rate")
    ordered = sorted(rates, key=lambda rate: rate.rate)
    panels = [original_panel(original)]
    for rate in ordered:
        words = f"{rate.bpp:.4f} bpp \u00b7 {_psnr_words(rate.psnr)}"
        panels.append(Panel(rate.picture, f"rate {rate.rate}", (words, f"{rate.bytes:,} bytes")))
    with theme():
        return picture_sheet(panels, title=title, note=_note(ordered))


def _note(rates: Sequence[RateReconstruction]) -> str:
    names = ", ".join(rate.codec for rate in rates)
    sets = {rate.tags for rate in rates}
    if len(sets) == 1:
        tags = f"Tags in every file: {_tag_words(rates[0].tags)}."
    else:
        tags = " ".join(f"Tags at rate {rate.rate}: {_tag_words(rate.tags)}." for rate in rates)
    return (
        f"{tags} bpp: bits of the whole file per original pixel. Every reconstruction was decoded "
        f"from its file by a fresh process. Codec: {names}."
    )


@dataclass(frozen=True)
class Sample:
    """A sample of the prior, or the conditioning latent c decoded without diffusion.

    Attributes:
        kind: `c alone`, `controlled` or `prior alone`.
        tags: names of the tags that condition the prior.
        draw: index of the initial noise; None: no sampling.
        psnr: against the original, in dB.
        picture: uint8 (H, W, 3).
    """

    kind: str
    tags: tuple[str, ...]
    draw: int | None
    psnr: float
    picture: Pixels


def prior_alone(
    original: Pixels, samples: Sequence[Sample], *, title: str, file: str, how: dict[str, Any]
) -> Figure:
    """Draw the original, then the samples in their order.

    Args:
        file: description of the file that c and the tags are from, for the note.
        how: `sampler`, `steps` and `guidance`, for the note.

    Raises MeasurementError without a sample, or where a size differs from the original's.
    """
    if not samples:
        raise MeasurementError("a figure of samples needs at least one sample")
    panels = [original_panel(original), *(_sample_panel(sample) for sample in samples)]
    tags = max((sample.tags for sample in samples), key=len)
    settings = ", ".join(f"{key}={value}" for key, value in how.items())
    note = (
        f"Tags of the file: {_tag_words(tags)}. c alone: the conditioning latent decoded without "
        "diffusion. Controlled: samples of the prior under control of c. Prior alone: samples of "
        "the same network without control, conditioned on the tags at most. Samples of one noise "
        f"start from the same latent. {file}; {settings}."
    )
    with theme():
        return picture_sheet(panels, title=title, note=note)


def _sample_panel(sample: Sample) -> Panel:
    if sample.draw is None:
        return Panel(sample.picture, sample.kind, (_psnr_words(sample.psnr), "no sampling"))
    tags = "with the tags" if sample.tags else "no tags"
    words = f"{tags}, noise {sample.draw + 1}"
    return Panel(sample.picture, sample.kind, (_psnr_words(sample.psnr), words))


def _psnr_words(psnr: float) -> str:
    """Format a PSNR as `PSNR 24.31 dB`; `lossless` for infinity."""
    return "lossless" if math.isinf(psnr) else f"PSNR {psnr:.2f} dB"


def _tag_words(tags: Sequence[str]) -> str:
    """Format tags as one line; `none` for the empty set."""
    return ", ".join(tags) or "none"
