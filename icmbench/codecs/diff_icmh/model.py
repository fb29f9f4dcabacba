"""The model folder of Diff-ICMH: which files it holds, their digest, and the networks in them.

<models>/diff-icmh/autoencoder.safetensors  images <-> latents; bundled: MPD's
<models>/diff-icmh/prior.safetensors        the denoising network and its tag embedder
<models>/diff-icmh/text.safetensors         of imported models, the text encoder
<models>/diff-icmh/codec.safetensors        LFGCM: image -> y, z -> c, with the rates' adapters
<models>/diff-icmh/control.safetensors      the control network
<models>/diff-icmh/tables.safetensors       integer tables of the entropy coder
<models>/diff-icmh/tagger.safetensors       tags of an image; the encoder's side only
<models>/diff-icmh/card.json                what they are and how they were made

<models>/diff-icmh/tags.txt, tokenizer/     of imported models, the words
<models>/diff-icmh/variants/<name>/         other trainings of it, folders like this one

A stream depends on all but the tagger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import icmbench
from icmbench.codecs.mpd import model as mpd
from icmbench.core.errors import ModelError
from icmbench.core.files import sha256_file

if TYPE_CHECKING:  # the workflow reads names and digests without loading torch
    from icmbench.codecs.diff_icmh.entropy.tables import Tables
    from icmbench.codecs.diff_icmh.networks.control import ControlNetwork
    from icmbench.codecs.diff_icmh.networks.lfgcm import Lfgcm

NAME: Final = "diff-icmh"
PARTS: Final = ("autoencoder", "prior", "codec", "control", "tables")
TEXT: Final = "text"  # in imported models
TOKENIZER: Final = "tokenizer"  # folder of vocab.json and merges.txt in an imported model
WORDS: Final = ("vocab.json", "merges.txt")
VOCABULARY: Final = "tags.txt"  # of an imported model: one name a line; a tag's id is its line
TAGGER: Final = "tagger"
CARD: Final = "card.json"
VARIANTS: Final = "variants"  # other trainings, each a folder like this one


def bundled() -> Path:
    """The model folder that is part of the package."""
    return Path(icmbench.__file__).parent / "weights" / NAME


def part_file(folder: Path, part: str) -> Path:
    """The file of a part; the bundled autoencoder is MPD's."""
    if part == "autoencoder" and folder == bundled():
        return mpd.part_file(mpd.bundled(), part)
    return folder / f"{part}.safetensors"


def stream_files(folder: Path) -> list[Path]:
    """The files that a stream depends on, of those that are there."""
    paths = [part_file(folder, part) for part in (*PARTS, TEXT)]
    return [path for path in paths if path.is_file()]


def word_files(folder: Path) -> list[Path]:
    """The names of the tags and the tokenizer's files of an imported model, those that are there.

    The decoder's pictures depend on them as on the weights.
    """
    paths = [folder / VOCABULARY, *(folder / TOKENIZER / name for name in WORDS)]
    return [path for path in paths if path.is_file()]


def side_files(folder: Path) -> list[Path]:
    """The files of the encoder's side that are there."""
    path = part_file(folder, TAGGER)
    return [path] if path.is_file() else []


def variant_names(folder: Path) -> list[str]:
    """Names of the variants that lie in a model folder, sorted."""
    return sorted(path.name for path in (folder / VARIANTS).glob("*") if path.is_dir())


def check_folder(folder: Path, parts: Sequence[str] = PARTS) -> None:
    """ModelError naming the folder and what it lacks of the parts."""
    if not folder.is_dir():
        raise ModelError(f"model folder {folder}: no such folder")
    missing = [part for part in parts if not part_file(folder, part).is_file()]
    if missing:
        names = ", ".join(f"{part}.safetensors" for part in missing)
        raise ModelError(f"model folder {folder}: {names} missing")


def weights_digest(folder: Path) -> bytes:
    """4 bytes that stand in every stream: of the names and contents of the parts' files."""
    check_folder(folder)
    files = [*stream_files(folder), *word_files(folder)]
    text = "".join(f"{path.name} {sha256_file(path)}\n" for path in files)
    return hashlib.sha256(text.encode()).digest()[:4]


@dataclass(frozen=True)
class Codec:
    """The codec's half of a model, read: all that decides bits.

    Attributes:
        lfgcm: in evaluation mode; its entropy model in float64.
        y_tables, z_tables: of the entropy coder.
        defaults: `sampler`, `steps`, `guidance` and `start` where a codec string does not say, and
            `clip`, the largest magnitude of a predicted latent (None: no limit).
        metadata: of `codec.safetensors`.
    """

    lfgcm: Lfgcm
    y_tables: Tables
    z_tables: Tables
    defaults: dict[str, Any]
    metadata: dict[str, Any]


def load_codec(folder: Path) -> Codec:
    """The codec of a folder; ModelError naming file and tensor where something is wrong."""
    from icmbench.codecs.diff_icmh.entropy.tables import Tables
    from icmbench.codecs.diff_icmh.networks.lfgcm import LfgcmSettings, build_lfgcm
    from icmbench.models.tensors import load_arrays, load_network, make_network

    path = part_file(folder, "codec")
    state, metadata = load_network(path)
    defaults = _read(path, lambda: _defaults(metadata["decoding"]))
    lfgcm = make_network(
        path, state, metadata.get("network"), lambda s: build_lfgcm(LfgcmSettings.read(s), seed=0)
    )
    lfgcm.eval().requires_grad_(False)
    lfgcm.entropy_to_double()
    tables = part_file(folder, "tables")
    arrays, _ = load_arrays(tables)
    try:
        y_tables, z_tables = (Tables.from_arrays(arrays, prefix) for prefix in ("y", "z"))
    except ModelError as error:
        raise ModelError(f"{tables}: {error}") from None
    if len(z_tables) != (hyper := lfgcm.settings.hyper):
        raise ModelError(f"{tables}: {len(z_tables)} tables of z, the codec has {hyper}")
    return Codec(lfgcm, y_tables, z_tables, defaults, metadata)


def load_control(folder: Path) -> ControlNetwork:
    """The control network of a folder; ModelError naming file and tensor."""
    from icmbench.codecs.diff_icmh.networks.control import (
        ControlSettings,
        UnetSettings,
        build_control,
    )
    from icmbench.models.tensors import load_network, make_network

    path = part_file(folder, "control")
    state, metadata = load_network(path)

    def build(settings: Any) -> ControlNetwork:
        unet, own = UnetSettings.read(settings["unet"]), ControlSettings.read(settings["control"])
        return build_control(unet, own, seed=0)

    control = make_network(path, state, metadata.get("network"), build)
    return control.eval().requires_grad_(False)


def _defaults(values: dict[str, Any]) -> dict[str, Any]:
    """How the model decodes where a codec string leaves it open.

    Raises ValueError where a value is outside of the range that codec strings have.
    """
    from icmbench.codecs.diff_icmh.sampling import SAMPLERS, STEPS

    defaults: dict[str, Any] = {
        "sampler": str(values["sampler"]),
        "steps": int(values["steps"]),
        "guidance": float(values["guidance"]),
        "start": int(values["start"]),
        "clip": None if values["clip"] is None else float(values["clip"]),
    }
    ranges = {"steps": (2, STEPS), "guidance": (0, 30), "start": (0, STEPS - 1)}
    for name, (low, high) in ranges.items():
        if not low <= defaults[name] <= high:
            raise ValueError(f"{name} {defaults[name]} is not from {low} to {high}")
    if defaults["sampler"] not in SAMPLERS:
        raise ValueError(f"sampler {defaults['sampler']!r} is none of {', '.join(SAMPLERS)}")
    if defaults["clip"] is not None and not defaults["clip"] > 0:
        raise ValueError(f"clip {defaults['clip']} is not positive")
    return defaults


def _read(path: Path, read: Any) -> Any:
    try:
        return read()
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{path}: its metadata is incomplete: {error}") from error
