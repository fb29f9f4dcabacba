"""Names, sizes and derived tensors of RAM++'s published checkpoint: all follow from the sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from icmbench.codecs.diff_icmh.importing.names import TAGGER as IN_CODEC
from icmbench.codecs.diff_icmh.networks.ram_plus import MEAN, STD, RamPlus, RamPlusSettings

FORMER_HEAD: Final = "vision_multi."  # of older files: `tagging_head.`
# Modules of a block of Swin and of the decoder: published name and ours.
SWIN_BLOCK: Final = {
    "norm1": "norm1",
    "attn.qkv": "attn.qkv",
    "attn.proj": "attn.proj",
    "norm2": "norm2",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.3",
}
DECODER_BLOCK: Final = {
    "crossattention.self.query": "query",
    "crossattention.self.key": "key",
    "crossattention.self.value": "value",
    "crossattention.output.dense": "attended",
    "crossattention.output.LayerNorm": "norm1",
    "intermediate.dense": "inner",
    "output.dense": "outer",
    "output.LayerNorm": "norm2",
}
ENDS: Final = {
    "visual_encoder.patch_embed.proj": "swin.0.0.0",
    "visual_encoder.patch_embed.norm": "swin.0.0.2",
    "visual_encoder.norm": "swin.1",
    "image_proj": "image_proj",
    "wordvec_proj": "wordvec_proj",
    "fc": "fc",
}
ALONE: Final = ("label_embed", "reweight_scale")  # parameters that are no module's


def named(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Find the tensors of RAM++ in a checkpoint of its own or of Diff-ICMH, by present names."""
    prefix = f"{IN_CODEC}model."
    if any(name.startswith(prefix) for name in state):
        state = {
            name.removeprefix(prefix).removeprefix(IN_CODEC): tensor
            for name, tensor in state.items()
            if name.startswith(IN_CODEC)
        }
    return {
        name.replace(FORMER_HEAD, "tagging_head.", 1) if name.startswith(FORMER_HEAD) else name: t
        for name, t in state.items()
    }


def sizes(state: Mapping[str, Tensor], tags: int) -> RamPlusSettings:
    """Read the sizes off the shapes; LookupError or ValueError where they do not fit together."""

    def side(name: str, axis: int) -> int:
        if name not in state:
            raise LookupError(f"{name} is missing")
        if state[name].ndim <= axis:
            raise ValueError(f"{name} has the shape {tuple(state[name].shape)}")
        return state[name].shape[axis]

    def counted(pattern: str) -> int:
        count = 0
        while pattern.format(count) in state:
            count += 1
        return count

    layers = "visual_encoder.layers.{}.blocks."
    stages = counted(f"{layers}0.norm1.weight")
    table = f"{layers}0.attn.relative_position_bias_table"
    descriptions, rest = divmod(side("label_embed", 0), tags)
    if rest:
        raise ValueError(f"label_embed has {side('label_embed', 0)} rows, no multiple of {tags}")
    block = "tagging_head.encoder.layer.{}.intermediate.dense.weight"
    return RamPlusSettings(
        tags=tags,
        descriptions=descriptions,
        clip=side("label_embed", 1),
        channels=side("visual_encoder.patch_embed.proj.weight", 0),
        depths=tuple(counted(layers.format(stage) + "{}.norm1.weight") for stage in range(stages)),
        heads=tuple(side(table.format(stage), 1) for stage in range(stages)),
        window=(math.isqrt(side(table.format(0), 0)) + 1) // 2,
        hidden=side("wordvec_proj.weight", 0),
        feed_forward=side(block.format(0), 0),
        layers=counted(block),
    )


def published_names(settings: RamPlusSettings) -> Iterator[tuple[str, str]]:
    """The published name of every tensor that is taken over, and ours."""
    modules = dict(ENDS)
    for stage, depth in enumerate(settings.depths):
        for block in range(depth):
            theirs = f"visual_encoder.layers.{stage}.blocks.{block}."
            ours = f"swin.0.{2 * stage + 1}.{block}."
            modules |= {theirs + name: ours + own for name, own in SWIN_BLOCK.items()}
            table = "attn.relative_position_bias_table"
            yield theirs + table, ours + table
        if stage + 1 < len(settings.depths):
            theirs = f"visual_encoder.layers.{stage}.downsample."
            ours = f"swin.0.{2 * stage + 2}."
            yield f"{theirs}reduction.weight", f"{ours}reduction.weight"  # it has no bias
            modules[f"{theirs}norm"] = f"{ours}norm"
    for layer in range(settings.layers):
        theirs, ours = f"tagging_head.encoder.layer.{layer}.", f"decoder.{layer}."
        modules |= {theirs + name: ours + own for name, own in DECODER_BLOCK.items()}
    for name, own in modules.items():
        for leaf in ("weight", "bias"):
            yield f"{name}.{leaf}", f"{own}.{leaf}"
    for name in ALONE:
        yield name, name


def derived_tensors(settings: RamPlusSettings, network: RamPlus) -> dict[str, Tensor]:
    """Tensors that a checkpoint may hold and that follow from the sizes, by published name."""
    buffers: dict[str, Any] = dict(network.named_buffers())
    area = settings.window**2
    found = {
        "preprocess_normalize_mean": torch.tensor(MEAN).view(1, 3, 1, 1),
        "preprocess_normalize_std": torch.tensor(STD).view(1, 3, 1, 1),
    }
    for stage, depth in enumerate(settings.depths):
        count = settings.stage_windows(stage)
        for block in range(depth):
            name = f"visual_encoder.layers.{stage}.blocks.{block}."
            index = buffers[f"swin.0.{2 * stage + 1}.{block}.attn.relative_position_index"]
            found[f"{name}attn.relative_position_index"] = index.view(area, area)
            if block % 2 and count > 1 and settings.window > 1:  # windows that are shifted
                found[f"{name}attn_mask"] = shift_mask(settings.window, count)
    return found


def shift_mask(window: int, count: int) -> Tensor:
    """Mask of shifted windows (count * count, area, area): -100 between separate regions.

    Shifted by half a window, the last window along each axis holds a part of either border.
    """
    side = torch.zeros(count * window)
    side[-window:] = 1
    side[-(window // 2) :] = 2
    region = (3 * side[:, None] + side).view(count, window, count, window)
    region = region.transpose(1, 2).reshape(count * count, window * window)
    return torch.where(region[:, :, None] == region[:, None], 0.0, -100.0)
