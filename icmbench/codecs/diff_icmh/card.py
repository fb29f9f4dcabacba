"""The card of a model folder of Diff-ICMH: what the files are, how each was made, their digests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from icmbench.codecs.diff_icmh.model import (
    NAME,
    bundled,
    check_folder,
    part_file,
    side_files,
    stream_files,
    weights_digest,
)
from icmbench.models.card import described, origin
from icmbench.models.tensors import read_metadata

WHAT = {
    "autoencoder": "AutoencoderKL: an image to and from a latent at 1/8 of its size",
    "prior": "denoising network of the latent, told what the picture shows",
    "text": "text encoder of the prior",
    "codec": "LFGCM: an image to symbols and back to the latent c, gains per rate",
    "control": "control network, by which c steers the prior",
    "tables": "integer tables of the entropy coder",
    "tagger": "tags of a latent; never needed to decode",
}


def model_card(folder: Path, start: str = "scratch") -> dict[str, Any]:
    """The card of a complete folder; `decoding` are the defaults of sampler, steps and guidance.

    Args:
        start: `training.start` of the run that trained what is not bundled.

    Raises ModelError where a file is missing or damaged.
    """
    check_folder(folder)
    paths = [*stream_files(folder), *side_files(folder)]
    shipped = [*stream_files(bundled()), *side_files(bundled())]
    return {
        "model": NAME,
        "what": "weights of Diff-ICMH (NeurIPS 2025, arXiv 2511.22549), of small networks",
        **origin(paths, shipped, start),
        "decoding": read_metadata(part_file(folder, "codec"))["decoding"],
        "weights_digest": weights_digest(folder).hex(),
        "files": described(paths, WHAT),
    }
