"""Names of the weights behind every curve: bundled, trained in this run, or an imported model.

They are found while a run is planned: legends, `codecs.csv`, the report and provenance share them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from icmbench.codecs.diff_icmh import model_folder as icmh
from icmbench.codecs.diff_icmh.training.settings import SECTION as DIFF_ICMH
from icmbench.codecs.external import NOT_OURS
from icmbench.codecs.mpd import model_folder as mpd
from icmbench.codecs.mpd.training.settings import source
from icmbench.codecs.registry import codec_class
from icmbench.codecs.zoo.published import NAMES as ZOO
from icmbench.config.models import models_folder, used_features
from icmbench.config.run import Run
from icmbench.core.errors import ModelError
from icmbench.models.headers import FILE_METADATA, KEY, file_header

BUNDLED = "bundled"
PUBLISHED = "published weights"
THIS_RUN = "trained in this run"


def parameters(path: Path) -> int:
    """Number of values in a safetensors file, from its header alone.

    Raises ModelError where the file has no such header.
    """
    tensors = file_header(path)
    try:
        shapes = [entry["shape"] for name, entry in tensors.items() if name != FILE_METADATA]
        return sum(prod(shape) for shape in shapes)
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: not a safetensors file: {error}") from error


def weights_names(run: Run) -> dict[str, str]:
    """The weights of every codec entry that has some: `bundled`, `bundled, 2 M prior`, ..."""
    found = {}
    for name, entry in run.codecs.items():
        model = codec_class(entry.codec).model_name
        if model is None:
            continue
        if model in ZOO:
            found[name] = PUBLISHED
        elif run.config["models"]:
            found[name] = _given(models_folder(run.config) / model)
        elif model == mpd.NAME:
            used = [*mpd.PARTS, *(f"features-{kind}" for kind in used_features(entry))]
            trained = [
                part for part in used if part.partition("-")[0] in run.training.trained["mpd"]
            ]
            found[name] = _made(used, trained, run.config)
        else:
            parts = [part for part in run.training.trained["diff_icmh"] if part != icmh.TAGGER]
            used = ["autoencoder", "prior", "codec"]
            kept = DIFF_ICMH.keeps_autoencoder(run.config["training"])
            made = "autoencoder" in run.training.trained["mpd"] and not kept
            trained = ["autoencoder"] * made
            trained += ["prior"] * ("prior" in parts)
            trained += ["codec"] * any(part.startswith("stage") for part in parts)
            found[name] = _made(used, trained, run.config)
            if "prior" not in trained:
                found[name] += f", {_size(icmh.part_file(icmh.bundled(), 'prior'))} prior"
    return found


def curve_names(run: Run) -> dict[str, str]:
    """Legend text of every codec entry with weights: `MPD (bundled)`.

    An entry with a name of its own keeps it. Results made elsewhere are marked.
    """
    names = {
        name: f"{name} ({NOT_OURS})"
        for name, entry in run.codecs.items()
        if codec_class(entry.codec).foreign
    }
    for name, weights in weights_names(run).items():
        codec = codec_class(run.codecs[name].codec)
        title = codec.title if name == codec.name else name
        names[name] = f"{title} ({weights})"
    return names


def _made(used: list[str], trained: list[str], config: Mapping[str, Any]) -> str:
    """The weights of a model that this run makes of bundled and trained parts."""
    tuned = config["training"]["start"] == BUNDLED
    how = "fine-tuned in this run" if tuned else THIS_RUN
    if not trained:
        return BUNDLED
    if (path := source(config["training"])) is not None:
        how = f"autoencoder {path.name}, the others {THIS_RUN}"
    if len(trained) == len(used):
        return how
    kinds = " and ".join(dict.fromkeys(part.partition("-")[0] for part in trained))
    return f"{BUNDLED}, {kinds} {how}"


def _given(folder: Path) -> str:
    """The name of a given model folder: the imported file's name, or the folder's.

    A file that cannot be read is left to the job that loads it, which names what is wrong.
    """
    named = folder.parent.name or str(folder)
    part = icmh.part_file(folder, "codec" if folder.name == icmh.NAME else "autoencoder")
    try:
        metadata = file_header(part).get(FILE_METADATA, {})
        origin = json.loads(metadata.get(KEY, "{}")).get("provenance", {})
        named = Path(str(origin.get("source", ""))).name or named
        if further := icmh.LAYOUT.rate_numbers(folder):
            named += f" and {len(further)} more"
        if folder.name == icmh.NAME:
            named += f", {_size(icmh.part_file(folder, 'prior'))} prior"
    except (ModelError, OSError, ValueError, AttributeError):
        return named
    return named


def _size(path: Path) -> str:
    """Millions of values in a file, or thousands of a small one."""
    count = parameters(path)
    return f"{count / 1e6:.0f} M" if count >= 999_500 else f"{count / 1e3:.0f} k"
