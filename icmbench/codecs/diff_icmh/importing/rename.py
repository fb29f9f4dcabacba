"""Mapping of the tensor names of a published Diff-ICMH checkpoint to ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from icmbench.codecs.diff_icmh.importing.names import (
    CODEC_MODULES,
    DECODER_ONLY,
    DROPPED_AVERAGE,
    DROPPED_BUFFERS,
    DROPPED_SCALE,
    DROPPED_SCHEDULE,
    DROPPED_TAGGER,
    DROPPED_UNUSED,
    LAYERS,
    LEAF,
    PREFIXES,
    RESNET,
    SCALE,
    SCHEDULE,
    TAGGER,
    TEXT_BLOCK,
    TEXT_BLOCKS,
    TEXT_ENDS,
    TEXT_UNUSED,
    THIRDS,
    TRANSFORMER,
    UNET_ENDS,
    UNET_MIDDLE,
    Renamed,
    Target,
)
from icmbench.models.compressai_tensors import BUFFERS, bottleneck_name
from icmbench.models.ldm import NUMBER, diffusers_name


def rename(key: str) -> Renamed:
    """Map the name of a published tensor to our names.

    Returns:
        One target, or three for a tensor that is split; or the reason for dropping it; None where
        the name is unknown. Two names can have one target (CompressAI's old and new names).
    """
    if key in SCHEDULE:
        return DROPPED_SCHEDULE
    if key in ("model_ema.decay", "model_ema.num_updates"):
        return DROPPED_AVERAGE
    if key == SCALE:
        return DROPPED_SCALE
    if key.startswith(TAGGER):
        return DROPPED_TAGGER
    for part, prefix in PREFIXES.items():
        if key.startswith(prefix):
            return _READERS[part](key.removeprefix(prefix))
    return None


def _prior(name: str) -> Renamed:
    ours = _unet(name)
    return None if ours is None else (Target("prior", f"unet.{ours}"),)


def _control(name: str) -> Renamed:
    if name.startswith("control_model."):
        ours = _unet(name.removeprefix("control_model."))
        if ours is None or ours.startswith(DECODER_ONLY):
            return None
        return (Target("control", f"encoder.{ours}"),)
    if found := re.fullmatch(rf"(enc|dec)_zero_convs_out\.{NUMBER}\.0\.{LEAF}", name):
        side, index, leaf = found.groups()
        return (Target("control", f"{side}_zero.{index}.{leaf}"),)
    if found := re.fullmatch(rf"middle_block_out\.0\.{LEAF}", name):
        return (Target("control", f"mid_zero.{found[1]}"),)
    return None


def _unet(name: str) -> str | None:
    """The name of diffusers' `UNet2DConditionModel`."""
    module, _, leaf = name.rpartition(".")
    if leaf not in ("weight", "bias"):
        return None
    if module in UNET_ENDS:
        return f"{UNET_ENDS[module]}.{leaf}"
    found = re.fullmatch(rf"(input_blocks|output_blocks)\.{NUMBER}\.([0-2])\.(.+)", module)
    if found:
        side, number, place, inner = found.groups()
        block = _unet_input if side == "input_blocks" else _unet_output
        ours = block(int(number), place, inner)
    elif found := re.fullmatch(r"middle_block\.([0-2])\.(.+)", module):
        place, inner = found.groups()
        known = TRANSFORMER if place == "1" else RESNET
        ours = _inside(f"mid_block.{UNET_MIDDLE[place]}", known, inner)
    else:
        ours = None
    return None if ours is None else f"{ours}.{leaf}"


def _unet_input(number: int, place: str, inner: str) -> str | None:
    """The published encoder counts on through all resolutions; number 0 is the first conv."""
    level, index = divmod(number - 1, LAYERS + 1)
    if level < 0:
        return None
    if index == LAYERS:
        reduces = (place, inner) == ("0", "op")
        return f"down_blocks.{level}.downsamplers.0.conv" if reduces else None
    return _layer(f"down_blocks.{level}", index, place, inner)


def _unet_output(number: int, place: str, inner: str) -> str | None:
    """Enlarging comes last in a resolution, after the attention where there is one."""
    level, index = divmod(number, LAYERS + 1)
    if inner == "conv":
        enlarges = index == LAYERS and place != "0"
        return f"up_blocks.{level}.upsamplers.0.conv" if enlarges else None
    return _layer(f"up_blocks.{level}", index, place, inner)


def _layer(block: str, index: int, place: str, inner: str) -> str | None:
    if place == "0":
        return _inside(f"{block}.resnets.{index}", RESNET, inner)
    if place == "1":
        return _inside(f"{block}.attentions.{index}", TRANSFORMER, inner)
    return None


def _inside(module: str, known: dict[str, str], inner: str) -> str | None:
    return f"{module}.{known[inner]}" if inner in known else None


def _autoencoder(name: str) -> Renamed:
    found = diffusers_name(name)
    return None if found is None else (Target("autoencoder", *found),)


def _text(name: str) -> Renamed:
    if name in TEXT_UNUSED:
        return DROPPED_UNUSED
    if name in TEXT_ENDS:
        return (Target("text", TEXT_ENDS[name]),)
    found = re.fullmatch(rf"transformer\.resblocks\.{NUMBER}\.(.+)[._]{LEAF}", name)
    if not found or int(found[1]) >= TEXT_BLOCKS:
        return None
    number, inner, leaf = found.groups()
    layer = f"encoder.layers.{number}"
    targets: tuple[Target, ...]
    if inner == "attn.in_proj" and name.endswith(f"in_proj_{leaf}"):
        targets = tuple(
            Target("text", f"{layer}.self_attn.{which}_proj.{leaf}", transform)
            for which, transform in THIRDS
        )
    elif inner in TEXT_BLOCK and name.endswith(f".{leaf}"):
        targets = (Target("text", f"{layer}.{TEXT_BLOCK[inner]}.{leaf}"),)
    else:
        return None
    return DROPPED_UNUSED if int(number) == TEXT_BLOCKS - 1 else targets


def _codec(name: str) -> Renamed:
    if name in BUFFERS:
        return DROPPED_BUFFERS
    ours = name if name.split(".")[0] in CODEC_MODULES else bottleneck_name(name)
    return None if ours is None else (Target("codec", ours),)


_READERS: Final[dict[str, Callable[[str], Renamed]]] = {
    "autoencoder": _autoencoder,
    "prior": _prior,
    "text": _text,
    "codec": _codec,
    "control": _control,
}
