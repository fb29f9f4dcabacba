"""Taps of the VGG on a patch of an image, and their Fourier transforms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from icmbench.codecs.mpd.training.representation import load_taps
from icmbench.jobs.figures import save_figure
from icmbench.jobs.places import Place, image_of
from icmbench.studies import clusters


def taps_figure(
    *, place: Place, size: int, threads: int, network: Path, figures: Sequence[Path]
) -> None:
    """Draw the taps of a patch and their spectra.

    Args:
        size: pixels a side of the patch.
        network: weight file of the VGG.
    """
    torch.set_num_threads(threads)
    figure = clusters.taps_figure(load_taps(network), image_of(place), size, place["image"])
    save_figure(place["figure"], figure, figures)
