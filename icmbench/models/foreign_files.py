"""Files of a published autoencoder: their formats by name, and what belongs to each.

Nothing is read here, so that a workflow is planned without torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from icmbench.core.errors import ModelError

CONFIG: Final = "config.json"
PIPELINE: Final = "model_index.json"  # of a diffusers folder with several networks
WEIGHTS: Final = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
CHECKPOINTS: Final = (".ckpt", ".safetensors", ".pt", ".pth")
EXPECTED: Final = (
    f"a folder with {CONFIG} and {WEIGHTS[0]} (or .bin) of diffusers, a folder with one "
    "*_encoder.pth and its *_decoder.pth of the TAESD family, or a latent-diffusion checkpoint "
    f"({', '.join(CHECKPOINTS)})"
)

Format = Literal["diffusers", "taesd", "ldm"]


@dataclass(frozen=True)
class ForeignFiles:
    """Format and files of a published autoencoder.

    Attributes:
        format: `diffusers`: config and weights; `taesd`: encoder and decoder; `ldm`: a checkpoint.
        files: in this order.
    """

    format: Format
    files: tuple[Path, ...]


def foreign_files(path: Path) -> ForeignFiles:
    """The format and the files of a path; ModelError where it is none of the formats."""
    if path.is_file():
        if path.suffix not in CHECKPOINTS:
            kind = f"a file {path.suffix}" if path.suffix else "a file without suffix"
            raise ModelError(f"{path}: {kind}; expected {EXPECTED}")
        return ForeignFiles("ldm", (path,))
    if not path.is_dir():
        raise ModelError(f"{path}: no such file or folder; expected {EXPECTED}")
    if (path / PIPELINE).is_file():
        path /= "vae"
    if (path / CONFIG).is_file():
        weights = next((path / name for name in WEIGHTS if (path / name).is_file()), None)
        if weights is None:
            raise ModelError(f"{path}: {CONFIG} without weights; expected {' or '.join(WEIGHTS)}")
        return ForeignFiles("diffusers", (path / CONFIG, weights))
    encoders = sorted(path.glob("*_encoder.pth"))
    if len(encoders) != 1:
        found = ", ".join(file.name for file in encoders) or f"neither {CONFIG} nor *_encoder.pth"
        raise ModelError(f"{path}: it has {found}; expected {EXPECTED}")
    decoder = encoders[0].with_name(encoders[0].name.replace("_encoder.pth", "_decoder.pth"))
    if not decoder.is_file():
        raise ModelError(f"{path}: {encoders[0].name} without {decoder.name}")
    return ForeignFiles("taesd", (encoders[0], decoder))
