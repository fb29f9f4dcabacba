"""Files of a published prior, Stable Diffusion 2.1: its formats, and what a plan can check.

    a folder of diffusers   unet, vae, text_encoder, scheduler and, where none is given, tokenizer
    a checkpoint            the latent-diffusion code's (.ckpt, .safetensors); a tokenizer beside it

No tensor is read here, so that a workflow is planned without torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from icmbench.codecs.diff_icmh.model_folder import TOKENIZER, WORDS
from icmbench.core.errors import ModelError
from icmbench.models.foreign_files import CHECKPOINTS, CONFIG, WEIGHTS, foreign_files
from icmbench.models.headers import file_header

SCHEDULER: Final = Path("scheduler") / "scheduler_config.json"
TEXT_WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")
EXPECTED: Final = (
    "expected a folder of diffusers with unet, vae, text_encoder and scheduler, or a checkpoint "
    f"({', '.join(CHECKPOINTS)})"
)
# Weights of a checkpoint whose inputs are the latent: of the network, and of the autoencoder.
LATENT: Final = (
    "model.diffusion_model.input_blocks.0.0.weight",
    "first_stage_model.decoder.conv_in.weight",
)
# Of every component: its file of sizes, the key of its class, and the class that it must be.
CLASSES: Final = {
    "unet": ("_class_name", "UNet2DConditionModel"),
    "vae": ("_class_name", "AutoencoderKL"),
    "text_encoder": ("architectures", ["CLIPTextModel"]),
}


@dataclass(frozen=True)
class PriorFiles:
    """Files of a published prior.

    Attributes:
        format: `diffusers` or `ldm`.
        path: the folder or the checkpoint.
        files: all weights and configurations.
        tokenizer: folder of vocab.json and merges.txt.
        tags: file of the names of the tags.
        tagging: checkpoint of RAM++ and the thresholds of its tags; empty: no tagger.
    """

    format: Literal["diffusers", "ldm"]
    path: Path
    files: tuple[Path, ...]
    tokenizer: Path
    tags: Path
    tagging: tuple[Path, ...] = ()

    @property
    def inputs(self) -> list[Path]:
        """All files that an import reads."""
        words = (self.tokenizer / name for name in WORDS)
        return [*self.files, *words, self.tags, *self.tagging]


def prior_files(
    path: Path, tokenizer: Path | None, tags: Path | None, tagging: tuple[Path, ...] = ()
) -> PriorFiles:
    """Find the files of a prior and check what their headers hold.

    Arguments are the attributes of `PriorFiles`; a folder of diffusers has a tokenizer.

    Raises ModelError for a missing file, another format, a component of another class, and where
    the latent or the text of the network is not that of the autoencoder or the text encoder.
    """
    if path.is_dir():
        files = _diffusers(path)
        tokenizer = tokenizer or path / TOKENIZER
    elif path.suffix in CHECKPOINTS and path.is_file():
        files = (path,)
        if path.suffix == ".safetensors":
            _check_header(path)
    else:
        kind = "no checkpoint" if path.exists() else "no such file or folder"
        raise ModelError(f"{path}: {kind}; {EXPECTED}")
    if tokenizer is None:
        raise ModelError(f"{path}: a checkpoint holds no tokenizer: set `tokenizer` beside `from`")
    if tags is None:
        raise ModelError(f"{path}: a prior of texts needs names of tags: set `tags` beside `from`")
    form: Literal["diffusers", "ldm"] = "diffusers" if path.is_dir() else "ldm"
    found = PriorFiles(form, path, files, tokenizer, tags, tagging)
    for file in found.inputs:
        if not file.is_file():
            raise ModelError(f"{file}: no such file")
    return found


def _diffusers(path: Path) -> tuple[Path, ...]:
    values = {}
    for name, (key, kind) in CLASSES.items():
        folder = path / name
        if not (folder / CONFIG).is_file():
            other = f"{CONFIG} of a {_class(path)}" if (path / CONFIG).is_file() else "other files"
            raise ModelError(f"{path}: it has {other}, and no {name}/{CONFIG}; {EXPECTED}")
        values[name] = read_config(folder / CONFIG)
        if (held := values[name].get(key)) != kind:
            raise ModelError(f"{folder / CONFIG}: {key} is {held!r}, expected {kind!r}")
    for name, key, other, theirs in (
        ("unet", "in_channels", "vae", "latent_channels"),
        ("unet", "cross_attention_dim", "text_encoder", "hidden_size"),
    ):
        ours, wanted = values[name].get(key), values[other].get(theirs)
        if ours != wanted:
            text = f"{key} is {ours!r}, but {theirs} of {other}/{CONFIG} is {wanted!r}"
            raise ModelError(f"{path / name / CONFIG}: {text}: they do not belong together")
    return (
        *_component(path / "unet", WEIGHTS),
        *foreign_files(path / "vae").files,
        *_component(path / "text_encoder", TEXT_WEIGHTS),
        path / SCHEDULER,
    )


def _class(path: Path) -> str:
    return str(read_config(path / CONFIG).get("_class_name", "model without a class"))


def _component(folder: Path, names: tuple[str, ...]) -> tuple[Path, Path]:
    weights = next((folder / name for name in names if (folder / name).is_file()), None)
    if weights is None:
        raise ModelError(f"{folder}: {CONFIG} without weights; expected {' or '.join(names)}")
    return folder / CONFIG, weights


def read_config(path: Path) -> dict[str, Any]:
    """Read a configuration of diffusers or transformers; ModelError where it is none."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: missing, damaged or not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path}: not names with values")
    return values


def _check_header(path: Path) -> None:
    """ModelError where the checkpoint's network is of another latent than its autoencoder."""
    header = file_header(path)
    sides = {}
    for key in LATENT:
        shape = header.get(key, {}).get("shape", ())
        if len(shape) != 4:
            raise ModelError(f"{path}: {key} is missing or no convolution: not Stable Diffusion")
        sides[key] = shape[1]
    if len(set(sides.values())) != 1:
        text = ", ".join(f"{key} has {count}" for key, count in sides.items())
        raise ModelError(f"{path}: the latent's channels differ: {text}")
