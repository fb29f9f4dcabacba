"""The card of a model folder: what the files are, how each was made, and their digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.files import sha256_file
from icmbench.mpd.model import (
    NAME,
    PARTS,
    bundled,
    check_folder,
    guide_files,
    part_file,
    part_files,
    weights_digest,
)
from icmbench.mpd.tensors import read_metadata

WHAT = {
    "autoencoder": "AutoencoderKL: an image to and from a latent at 1/8 of its size",
    "contexts": "integer tables of the entropy coder",
    "reverse": "network that predicts the finest latent from a coarser state",
    "vgg": "narrow VGG of five stages, trained without labels: descriptors for pseudo-labels",
    "features-fft": "contrastive features of the latent; pseudo-labels from FFT descriptors",
    "features-mean": "contrastive features of the latent; pseudo-labels without the FFT",
}


OWN_LICENCE = "BSD-3-Clause"
DATA_LICENCES = "the licences of their training data stand under data"


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


def origin(paths: Sequence[Path], shipped: Sequence[Path], start: str) -> dict[str, Any]:
    """The entries `made_by`, `licence` and `data` of a card.

    `data` names the sources that any of the files was trained on, with their licences as the data
    sets declare them. A file that was fine-tuned from a bundled one was trained on the bundled
    one's data, too.

    Args:
        paths: the files of the card.
        shipped: all bundled files of the model.
        start: `bundled` where files that are not bundled were trained from bundled ones.
    """
    known = {sha256_file(path) for path in shipped}
    own = [path for path in paths if sha256_file(path) not in known]
    used = [*paths, *(shipped if own and start == "bundled" else ())]
    pools = [read_metadata(path).get("provenance", {}).get("pool", {}) for path in used]
    sources = {source["name"] for pool in pools for source in pool.get("sources", ())}
    licences = {licence for pool in pools for licence in pool.get("licences", ())}
    data = {"sources": sorted(sources), "licences": sorted(licences)}
    if not own:
        made = "icmbench, from scratch: no published weights are in them"
        return {
            "made_by": made,
            "licence": f"{OWN_LICENCE} for the files; {DATA_LICENCES}",
            "data": data,
        }
    how = "fine-tuned from the bundled ones" if start == "bundled" else "trained from scratch"
    names = ", ".join(sorted(path.name for path in own))
    made = f"a run of icmbench: {names} {how}"
    licence = f"none is set for the files of the run; {DATA_LICENCES}"
    if len(own) < len(paths):
        made += "; bundled with icmbench, unchanged: the others"
        licence = f"bundled files: {OWN_LICENCE}; {licence}"
    return {"made_by": made, "licence": licence, "data": data}


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
