"""The card of a model folder: what the files are, how each was made, and their digests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from icmbench.codecs.mpd.model import (
    NAME,
    PARTS,
    bundled,
    check_folder,
    guide_files,
    part_file,
    part_files,
    weights_digest,
)
from icmbench.models.card import described, origin

WHAT = {
    "autoencoder": "AutoencoderKL: an image to and from a latent at 1/8 of its size",
    "contexts": "integer tables of the entropy coder",
    "reverse": "network that predicts the finest latent from a coarser state",
    "vgg": "narrow VGG of five stages, trained without labels: descriptors for pseudo-labels",
    "features-fft": "contrastive features of the latent; pseudo-labels from FFT descriptors",
    "features-mean": "contrastive features of the latent; pseudo-labels without the FFT",
}


def model_card(
    folder: Path, parts: Sequence[str] | None = None, start: str = "scratch"
) -> dict[str, Any]:
    """The card of a complete folder; depends on the files of its `parts` alone.

    Args:
        parts: default: all that streams depend on, and what else is there of the encoder's side.
        start: `training.start` of the run that trained what is not bundled.

    Raises ModelError where a file is missing or damaged.
    """
    parts = parts or [*PARTS, *(path.stem for path in guide_files(folder))]
    check_folder(folder, parts)
    paths = [part_file(folder, part) for part in parts]
    shipped = [*part_files(bundled()), *guide_files(bundled())]
    return {
        "model": NAME,
        "what": "weights of MPD, Markov palette diffusion (ACM MM 2023, arXiv 2410.06149)",
        **origin(paths, shipped, start),
        "weights_digest": weights_digest(folder).hex(),
        "files": described(paths, WHAT),
    }
