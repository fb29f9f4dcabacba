"""Unconditional samples of the prior beside samples under control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.diffusion_rates import psnr_words, tag_words
from icmbench.reporting.figures.sheets import Panel, Pixels, original_panel, picture_sheet
from icmbench.reporting.figures.style import theme


@dataclass(frozen=True)
class Sample:
    """A picture that was drawn from the prior, or c itself.

    Attributes:
        kind: `c alone`, `controlled` or `prior alone`.
        tags: names of the tags that the prior was told.
        draw: number of the noise that sampling starts from; None: no sampling.
        psnr: in dB, against the original.
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
        file: which one c and the tags are from, for the note.
        how: `sampler`, `steps` and `guidance`, for the note.

    Raises MeasurementError without a sample, or where a picture has not the original's size.
    """
    if not samples:
        raise MeasurementError("a figure of samples needs at least one")
    panels = [original_panel(original), *(_panel(sample) for sample in samples)]
    tags = max((sample.tags for sample in samples), key=len)
    settings = ", ".join(f"{key}={value}" for key, value in how.items())
    note = (
        f"Tags of the file: {tag_words(tags)}. c alone: what the stream says of the latent, "
        "without diffusion. Controlled: the prior under control of c. Prior alone: the same "
        "network without control, so nothing of the picture but its tags and size reaches it. "
        f"Pictures of one noise start alike. {file}; {settings}."
    )
    with theme():
        return picture_sheet(panels, title=title, note=note)


def _panel(sample: Sample) -> Panel:
    if sample.draw is None:
        return Panel(sample.picture, sample.kind, (psnr_words(sample.psnr), "no sampling"))
    told = "with the tags" if sample.tags else "no tags"
    words = f"{told}, noise {sample.draw + 1}"
    return Panel(sample.picture, sample.kind, (psnr_words(sample.psnr), words))
