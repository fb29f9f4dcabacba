"""Autoencoders of latent-diffusion checkpoints: tensor names, sizes and diffusers' equivalents.

A checkpoint keeps the autoencoder under `first_stage_model.`, with the names of the
latent-diffusion code (Rombach et al. 2022); a file of the autoencoder alone has them without the
prefix. The network is diffusers' `AutoencoderKL`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, Final, Literal

import torch
from torch import Tensor

PREFIX: Final = "first_stage_model."
LEVELS: Final = 4  # resolutions: 1 to 1/8; the decoder counts them the other way round
LAYERS: Final = 2  # residual blocks per resolution of the encoder; the decoder has one more
GROUPS: Final = 32  # of the norms; no shape holds them

Transform = Literal["same", "linear"]  # as it is, or a 1 x 1 convolution as a matrix

NUMBER: Final = r"(0|[1-9][0-9]*)"
RESNET: Final = {
    "norm1": "norm1",
    "conv1": "conv1",
    "norm2": "norm2",
    "conv2": "conv2",
    "nin_shortcut": "conv_shortcut",
}
ATTENTION: Final = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}
ENDS: Final = {
    "encoder.conv_in": "encoder.conv_in",
    "encoder.norm_out": "encoder.conv_norm_out",
    "encoder.conv_out": "encoder.conv_out",
    "decoder.conv_in": "decoder.conv_in",
    "decoder.norm_out": "decoder.conv_norm_out",
    "decoder.conv_out": "decoder.conv_out",
    "quant_conv": "quant_conv",
    "post_quant_conv": "post_quant_conv",
}
# Types that numpy, which reads weight files, does not have. Widening is exact.
WIDENED: Final = (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
KEPT: Final = (torch.float16, torch.float32, torch.float64)


def diffusers_name(name: str) -> tuple[str, Transform] | None:
    """Map a published name without the prefix to diffusers' and its transform; None: unknown."""
    module, _, leaf = name.rpartition(".")
    if leaf not in ("weight", "bias"):
        return None
    attention = re.fullmatch(r"(encoder|decoder)\.mid\.attn_1\.(.+)", module)
    if attention:
        side, inner = attention.groups()
        ours = _inside(f"{side}.mid_block.attentions.0", ATTENTION, inner)
        matrix = inner != "norm" and leaf == "weight"
        transform: Transform = "linear" if matrix else "same"
    else:
        ours, transform = ENDS.get(module) or _block(module), "same"
    return None if ours is None else (f"{ours}.{leaf}", transform)


def _block(module: str) -> str | None:
    if found := re.fullmatch(r"(encoder|decoder)\.mid\.block_([12])\.(.+)", module):
        side, number, inner = found.groups()
        return _inside(f"{side}.mid_block.resnets.{int(number) - 1}", RESNET, inner)
    if found := re.fullmatch(rf"(encoder\.down|decoder\.up)\.{NUMBER}\.(.+)", module):
        side, level, rest = found.groups()
        if int(level) >= LEVELS:
            return None
        up = side == "decoder.up"
        block = f"{side}_blocks.{LEVELS - 1 - int(level) if up else level}"
        if rest == ("upsample.conv" if up else "downsample.conv"):
            return f"{block}.{'up' if up else 'down'}samplers.0.conv"
        if inside := re.fullmatch(rf"block\.{NUMBER}\.(.+)", rest):
            return _inside(f"{block}.resnets.{inside[1]}", RESNET, inside[2])
    return None


def _inside(module: str, known: Mapping[str, str], inner: str) -> str | None:
    return f"{module}.{known[inner]}" if inner in known else None


def ldm_name(name: str) -> str:
    """Map a name of diffusers to the published one without the prefix; unknown names stay."""
    return _published().get(name, name)


@functools.cache
def _published() -> Mapping[str, str]:
    """The inverse of `diffusers_name`, by renaming every name that a checkpoint can have."""
    return {found[0]: name for name in ldm_names() if (found := diffusers_name(name))}


def ldm_names() -> Iterator[str]:
    """The names that a checkpoint can have, without the prefix."""
    modules = [*ENDS]
    for side in ("encoder", "decoder"):
        modules += [f"{side}.mid.attn_1.{name}" for name in ATTENTION]
        modules += [f"{side}.mid.block_{n}.{name}" for n, name in product((1, 2), RESNET)]
    for side, scaled in (("encoder.down", "downsample"), ("decoder.up", "upsample")):
        for level in range(LEVELS):
            modules.append(f"{side}.{level}.{scaled}.conv")
            blocks = product(range(LAYERS + 1), RESNET)
            modules += [f"{side}.{level}.block.{block}.{name}" for block, name in blocks]
    for module, leaf in product(modules, ("weight", "bias")):
        yield f"{module}.{leaf}"


def kl_settings(side: Callable[[str, int], int], *, quantised: bool = True) -> dict[str, Any]:
    """Arguments of diffusers' `AutoencoderKL` for the tensors of a checkpoint.

    Args:
        side: gives the size of a tensor (diffusers' name) along an axis; what it raises passes.
        quantised: the checkpoint has 1 x 1 convolutions on both sides of the latent.
    """
    settings = {
        "in_channels": side("encoder.conv_in.weight", 1),
        "out_channels": side("decoder.conv_out.weight", 0),
        "latent_channels": side("decoder.conv_in.weight", 1),
        "block_out_channels": [
            side(f"encoder.down_blocks.{level}.resnets.0.conv1.weight", 0)
            for level in range(LEVELS)
        ],
        "layers_per_block": LAYERS,
        "down_block_types": ["DownEncoderBlock2D"] * LEVELS,
        "up_block_types": ["UpDecoderBlock2D"] * LEVELS,
        "norm_num_groups": GROUPS,
    }
    unquantised = {} if quantised else {"use_quant_conv": False, "use_post_quant_conv": False}
    return settings | unquantised


def storable(tensor: Tensor, transform: Transform = "same") -> Tensor | str:
    """The tensor as a weight file holds it, or a text about its problem."""
    if tensor.dtype not in (*KEPT, *WIDENED):
        return f"holds {str(tensor.dtype).removeprefix('torch.')}, not weights"
    tensor = (tensor.float() if tensor.dtype in WIDENED else tensor).contiguous()
    if transform == "same":
        return tensor
    if tensor.ndim != 4 or tensor.shape[2:] != (1, 1):
        return f"shape {tuple(tensor.shape)}, expected a 1 x 1 convolution"
    return tensor.flatten(1)
