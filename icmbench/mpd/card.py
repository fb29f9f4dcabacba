"""The card of a model folder: what the files are, how each was made, and their digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.files import sha256_file
from icmbench.mpd.model import NAME, PARTS, check_folder, guide_files, part_file, weights_digest
from icmbench.mpd.tensors import read_metadata

WHAT = {
    "autoencoder": "AutoencoderKL: an image to and from a latent at 1/8 of its size",
    "contexts": "integer tables of the entropy coder",
    "reverse": "network that predicts the finest latent from a coarser state",
    "vgg": "narrow VGG of five stages, trained without labels: descriptors for pseudo-labels",
    "features-fft": "contrastive features of the latent; pseudo-labels from FFT descriptors",
    "features-mean": "contrastive features of the latent; pseudo-labels without the FFT",
}


def model_card(folder: Path, parts: Sequence[str] | None = None) -> dict[str, Any]:
    """The card of a complete folder; depends on the files of its `parts` alone.

    Without `parts`: all that streams depend on, and what else is there of the encoder's side.

    Raises ModelError where a file is missing or damaged.
    """
    parts = parts or [*PARTS, *(path.stem for path in guide_files(folder))]
    check_folder(folder, parts)
    return {
        "model": NAME,
        "what": "weights of MPD, Markov palette diffusion (ACM MM 2023, arXiv 2410.06149)",
        "made_by": "icmbench, from scratch: no published weights are in them",
        "licence": "BSD-3-Clause",
        "weights_digest": weights_digest(folder).hex(),
        "files": described([part_file(folder, part) for part in parts], WHAT),
    }


def described(paths: Sequence[Path], what: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The entries of a card, by file name: what each is, its digest, size and provenance."""
    return {
        path.name: {
            "what": what[path.stem],
            "sha256": sha256_file(path),
            "bytes": path.stat().st_size,
            "provenance": read_metadata(path).get("provenance", {}),
        }
        for path in paths
    }
