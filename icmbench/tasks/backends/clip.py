"""CLIP (Radford et al. 2021) from a published folder of transformers: network, tokens, pixels.

<folder>/config.json, model.safetensors or pytorch_model.bin
<folder>/vocab.json, merges.txt
<folder>/preprocessor_config.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from icmbench.core.errors import ModelError
from icmbench.tasks.base import Image

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

CONFIG: Final = "config.json"
PIXELS: Final = "preprocessor_config.json"
WORDS: Final = ("vocab.json", "merges.txt")
WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")
# Positions counted from 0, which older versions of transformers wrote into their files.
COUNTED: Final = tuple(f"{part}_model.embeddings.position_ids" for part in ("text", "vision"))
# Keys of a configuration's parts that decide what the network computes.
ARGUMENTS: Final = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "hidden_act",
    "layer_norm_eps", "vocab_size", "max_position_embeddings", "bos_token_id", "eos_token_id",
    "pad_token_id", "image_size", "patch_size", "num_channels",
)  # fmt: skip
_BATCH: Final = 64  # texts at once


def clip_files(folder: Path) -> list[Path]:
    """Files of a folder, of which the weights are the first format that is there."""
    weights = next((name for name in WEIGHTS if (folder / name).is_file()), WEIGHTS[0])
    return [folder / name for name in (CONFIG, weights, *WORDS, PIXELS)]


class Clip:
    """A CLIP network on a device.

    Attributes:
        network: transformers' `CLIPModel`.
        side: of the square of pixels that the published preprocessing gives.
        patch: side of a patch.
    """

    def __init__(self, folder: Path, device: str) -> None:
        """Read the files of a folder, strictly.

        Raises ModelError naming the file that is missing, damaged or of another network, and the
        tensor that is missing, unknown or of another shape.
        """
        from icmbench.codecs.diff_icmh.tokenizer import Tokenizer
        from icmbench.models.tensors import make_network

        config, weights, *_, pixels = clip_files(folder)
        values = _read(config)
        if values.get("model_type") != "clip":
            raise ModelError(
                f"{config}: model_type is {values.get('model_type')!r}, expected 'clip'"
            )
        network = make_network(weights, _tensors(weights), _sizes(config, values), _build)
        self.network: Any = network.to(device)
        self.network.eval().requires_grad_(False)
        text = self.network.config.text_config
        self._tokenizer = Tokenizer(folder, text.vocab_size, text.max_position_embeddings)
        self._mean, self._std = _statistics(pixels)
        self.side: int = self.network.config.vision_config.image_size
        self.patch: int = self.network.config.vision_config.patch_size
        self.device = device

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors (n, D) of texts; words beyond the encoder's length are left out."""
        import torch

        found = []
        with torch.inference_mode():
            for start in range(0, len(texts), _BATCH):
                tokens = self._tokenizer(texts[start : start + _BATCH]).to(self.device)
                found.append(self.network.get_text_features(tokens).pooler_output)
            return _unit(torch.cat(found)).cpu().numpy() if found else self._none()

    def image(self, image: Image) -> NDArray[np.float32]:
        """Unit vector (D,) of an image uint8 (H, W, 3).

        As published: the shorter side is resized to the network's by a bicubic filter, and the
        square in the middle is taken.
        """
        import torch

        height, width = image.shape[:2]
        high, wide = (self.side * side // min(height, width) for side in (height, width))
        top, left = (high - self.side) // 2, (wide - self.side) // 2
        resized = resize_bicubic(image, high, wide)
        square = resized[top : top + self.side, left : left + self.side]
        with torch.inference_mode():
            features = self.network.get_image_features(self.tensor(square)).pooler_output
            found: NDArray[np.float32] = _unit(features)[0].cpu().numpy()
        return found

    def patches(self, pixels: torch.Tensor) -> torch.Tensor:
        """Unit vectors (n, D, h, w) of the patches of pixels (n, 3, h * patch, w * patch).

        Of the last attention only the value projection is kept (MaskCLIP, Zhou et al. 2022,
        section 3.2): a patch's own features, which the image's vector is a weighted mean of.
        Embeddings of positions are interpolated to the grid.
        """
        vision = self.network.vision_model
        hidden = vision.pre_layrnorm(vision.embeddings(pixels, interpolate_pos_encoding=True))
        *layers, last = vision.encoder.layers
        for layer in layers:
            hidden = layer(hidden, attention_mask=None)
        attention = last.self_attn
        hidden = hidden + attention.out_proj(attention.v_proj(last.layer_norm1(hidden)))
        hidden = hidden + last.mlp(last.layer_norm2(hidden))
        features = self.network.visual_projection(vision.post_layernorm(hidden[:, 1:]))
        high, wide = (side // self.patch for side in pixels.shape[2:])
        return _unit(features).transpose(1, 2).reshape(len(pixels), -1, high, wide)

    def tensor(self, image: Image) -> torch.Tensor:
        """An image uint8 (H, W, 3) as normalised float32 (1, 3, H, W) on the device."""
        import numpy as np
        import torch

        values = (image.astype(np.float32) / 255 - self._mean) / self._std
        return torch.from_numpy(values.transpose(2, 0, 1)[None].copy()).to(self.device)

    def _none(self) -> NDArray[np.float32]:
        import numpy as np

        return np.zeros((0, self.network.config.projection_dim), np.float32)


def resize_bicubic(image: Image, height: int, width: int) -> Image:
    """Pillow's bicubic filter, which smooths where it reduces; uint8 in and out."""
    import numpy as np
    from PIL import Image as PillowImage

    if image.shape[:2] == (height, width):
        return image
    filtered = PillowImage.fromarray(image).resize((width, height), PillowImage.Resampling.BICUBIC)
    return np.asarray(filtered)


def _sizes(path: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the network in a published configuration; others have no effect on it."""
    found: dict[str, Any] = {}
    for part in ("text_config", "vision_config"):
        given = values.get(part)
        if not isinstance(given, dict):
            raise ModelError(f"{path}: {part} is no object")
        found[part] = {key: value for key, value in given.items() if key in ARGUMENTS}
    return found | {key: values[key] for key in ("projection_dim",) if key in values}


def _build(values: Mapping[str, Any]) -> Any:
    from transformers import CLIPConfig, CLIPModel

    return CLIPModel(CLIPConfig.from_dict(dict(values)))


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a weight file, without the counted positions, which are checked."""
    import torch

    from icmbench.models.checkpoint import read_checkpoint

    state = read_checkpoint(path)
    for name in COUNTED:
        counted = state.pop(name, None)
        if counted is not None and not torch.equal(
            counted.flatten().long(), torch.arange(counted.numel())
        ):
            raise ModelError(f"{path}: tensor {name!r} does not count from 0")
    return state


def _statistics(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of the channels, of values from 0 to 1."""
    import numpy as np

    values = _read(path)
    found = []
    for key in ("image_mean", "image_std"):
        numbers = values.get(key)
        if not (
            isinstance(numbers, list)
            and len(numbers) == 3
            and all(isinstance(n, float | int) and np.isfinite(n) for n in numbers)
        ):
            raise ModelError(f"{path}: {key}={numbers!r} is not three numbers")
        found.append(np.array(numbers, np.float32))
    if not found[1].all():
        raise ModelError(f"{path}: image_std holds 0")
    return found[0], found[1]


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{path}: no such file; expected a folder of transformers with {CONFIG}, "
            f"{WEIGHTS[0]} (or .bin), {', '.join(WORDS)} and {PIXELS}"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: damaged or not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path}: not an object")
    return values


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    scaled: torch.Tensor = vectors / vectors.norm(dim=-1, keepdim=True)
    return scaled
