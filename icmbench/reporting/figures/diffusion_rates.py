"""One image at every rate of a codec that decodes by diffusion, on a sheet of pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.sheets import Panel, Pixels, original_panel, picture_sheet
from icmbench.reporting.figures.style import theme


@dataclass(frozen=True)
class RatePicture:
    """The reconstruction at a rate point.

    Attributes:
        rate: from 1, the lowest.
        bytes: of the file.
        psnr: in dB, of the picture against the original.
        tags: names of the tags in the file.
        picture: uint8 (H, W, 3).
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


def diffusion_rates(original: Pixels, rates: Sequence[RatePicture], *, title: str) -> Figure:
    """Draw the original and what each rate's file decodes to, the lowest rate first.

    Raises MeasurementError without a rate, or where a picture has not the original's size.
    """
    if not rates:
        raise MeasurementError("a figure of rates needs at least one")
    ordered = sorted(rates, key=lambda rate: rate.rate)
    panels = [original_panel(original)]
    for rate in ordered:
        words = f"{rate.bpp:.4f} bpp \u00b7 {psnr_words(rate.psnr)}"
        panels.append(Panel(rate.picture, f"rate {rate.rate}", (words, f"{rate.bytes:,} bytes")))
    with theme():
        return picture_sheet(panels, title=title, note=_note(ordered))


def _note(rates: Sequence[RatePicture]) -> str:
    names = ", ".join(rate.codec for rate in rates)
    sets = {rate.tags for rate in rates}
    if len(sets) == 1:
        told = f"Tags in every file: {tag_words(rates[0].tags)}."
    else:
        told = " ".join(f"Tags at rate {rate.rate}: {tag_words(rate.tags)}." for rate in rates)
    return (
        f"{told} bpp: bits of the whole file per original pixel. Every picture was decoded from "
        f"its file by a fresh process. Codec: {names}."
    )


def psnr_words(psnr: float) -> str:
    """`PSNR 24.31 dB`, or that nothing was lost."""
    return "lossless" if math.isinf(psnr) else f"PSNR {psnr:.2f} dB"


def tag_words(tags: Sequence[str]) -> str:
    """The tags' names in one line."""
    return ", ".join(tags) or "none"
