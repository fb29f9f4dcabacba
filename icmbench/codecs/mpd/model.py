"""The model folder of MPD: which files it holds, their digest, and the network they describe.

<models>/mpd/autoencoder.safetensors   images <-> latents, with the latent's mean and deviation
<models>/mpd/contexts.safetensors      integer tables of the entropy coder
<models>/mpd/reverse.safetensors       the network of the reverse process
<models>/mpd/vgg.safetensors           texture-semantic descriptors, for pseudo-labels
<models>/mpd/features-fft.safetensors  contrastive features that guide the palette's clustering
<models>/mpd/features-mean.safetensors the same, trained on descriptors without the FFT
<models>/mpd/card.json                 what they are and how they were made

A stream depends on the first three; the others stay on the encoder's side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import icmbench
from icmbench.core.errors import ModelError
from icmbench.core.files import sha256_file
from icmbench.models.image_model import load_image_model

if TYPE_CHECKING:
    from icmbench.models.diffusers_networks import AutoencoderKL

NAME = "mpd"
PARTS = ("autoencoder", "contexts", "reverse")
TAPS = ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3")  # of `vgg`: the levels
KINDS = ("fft", "mean")  # of the descriptors that features learn from
GUIDES = ("vgg", *(f"features-{kind}" for kind in KINDS))
CARD = "card.json"


@dataclass(frozen=True)
class Model:
    """A folder of weights, read.

    Attributes:
        autoencoder: float32, in evaluation mode, without gradients.
        mean, std: float32 (channels), of the latent's channels over the training pool.
        metadata: of `autoencoder.safetensors`.
        digest: `weights_digest` of the folder.
    """

    folder: Path
    autoencoder: AutoencoderKL
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    metadata: dict[str, Any]
    digest: bytes


def bundled() -> Path:
    """The model folder that is part of the package."""
    return Path(icmbench.__file__).parent / "weights" / NAME


def part_file(folder: Path, part: str) -> Path:
    """The file of one of the `PARTS` or `GUIDES`."""
    return folder / f"{part}.safetensors"


def part_files(folder: Path) -> list[Path]:
    """The files of those parts that are there; never another or a half-written one beside them."""
    return [path for part in PARTS if (path := part_file(folder, part)).is_file()]


def guide_files(folder: Path) -> list[Path]:
    """The files of the encoder's side that are there."""
    return [path for part in GUIDES if (path := part_file(folder, part)).is_file()]


def check_folder(folder: Path, parts: Sequence[str] = PARTS) -> None:
    """ModelError naming the folder and what it lacks of the parts."""
    if not folder.is_dir():
        raise ModelError(f"model folder {folder}: no such folder")
    missing = [name for name in parts if not part_file(folder, name).is_file()]
    if missing:
        files = ", ".join(f"{name}.safetensors" for name in missing)
        raise ModelError(f"model folder {folder}: {files} missing")


def weights_digest(folder: Path) -> bytes:
    """4 bytes that stand in every stream: of the names and contents of the parts' files.

    Raises ModelError where the folder holds none.
    """
    files = part_files(folder)
    if not files:
        raise ModelError(f"model folder {folder}: no safetensors file of a part in it")
    text = "".join(f"{file.name} {sha256_file(file)}\n" for file in files)
    return hashlib.sha256(text.encode()).digest()[:4]


def load_model(folder: Path, parts: Sequence[str] = PARTS) -> Model:
    """The model of a folder that holds at least `parts`.

    Raises ModelError naming folder, file and tensor where something is missing or wrong.
    """
    check_folder(folder, parts)
    image = load_image_model(part_file(folder, "autoencoder"))
    digest = weights_digest(folder)
    return Model(folder, image.autoencoder, image.mean, image.std, image.metadata, digest)
