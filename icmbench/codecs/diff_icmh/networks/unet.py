"""The denoising network: diffusers' `UNet2DConditionModel`, evaluated block by block.

The blocks are diffusers'. The order of evaluation is ours because control is added between residual
blocks, inside what diffusers evaluates as one block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch.utils.checkpoint import checkpoint

from icmbench.models.settings import NetworkSettings

NORM_GROUPS = 32  # of every group norm; below: the largest divisor of its channels

Step = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class UnetSettings(NetworkSettings):
    """Size of the denoising network.

    Attributes:
        latent: channels of the latent.
        channels: of its resolutions, 1/8 of the image and downwards by two.
        layers: residual blocks per resolution of the encoder (the decoder has one more).
        attention: whether a resolution has attention, each.
        head_width: channels of an attention head.
        context: channels of the text.
    """

    latent: int = 4
    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers: int = 2
    attention: tuple[bool, ...] = (True, True, True, False)
    head_width: int = 64
    context: int = 1024

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.attention) or not self.channels:
            raise ValueError(f"{len(self.channels)} channels, {len(self.attention)} attention")


def build_unet(settings: UnetSettings, seed: int) -> UNet2DConditionModel:
    """An untrained prior whose weights depend on the seed alone."""
    heads = [max(1, c // settings.head_width) for c in settings.channels]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = make_unet(settings, settings.latent, settings.channels, heads)
    regroup(unet)
    return unet


def make_unet(
    settings: UnetSettings, inputs: int, channels: Sequence[int], heads: Sequence[int]
) -> UNet2DConditionModel:
    """Build a network of other input channels, widths and numbers of heads; `regroup` it after."""
    kinds = [("CrossAttn" if attention else "") for attention in settings.attention]
    return UNet2DConditionModel(
        in_channels=inputs,
        out_channels=settings.latent,
        block_out_channels=tuple(channels),
        layers_per_block=settings.layers,
        down_block_types=tuple(f"{kind}DownBlock2D" for kind in kinds),
        up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)),
        # diffusers calls the number of heads `attention_head_dim`.
        attention_head_dim=tuple(heads),
        cross_attention_dim=settings.context,
        use_linear_projection=True,
        norm_num_groups=1,  # set below: one number for all norms does not fit every width
    )


def regroup(network: torch.nn.Module) -> None:
    """Set the number of groups of every group norm."""
    for module in network.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.num_groups = largest_divisor(module.num_channels, NORM_GROUPS)


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor of a number that is at most `most`."""
    return next(d for d in range(min(number, most), 0, -1) if number % d == 0)


def time_embedding(
    unet: UNet2DConditionModel, timesteps: torch.Tensor, like: torch.Tensor
) -> torch.Tensor:
    """Embedding of t, (n, channels)."""
    embedded: torch.Tensor = unet.time_embedding(unet.time_proj(timesteps).to(like.dtype))
    return embedded


def encoder_steps(
    unet: UNet2DConditionModel, emb: torch.Tensor, context: torch.Tensor
) -> list[Step]:
    """The encoder, block by block: each residual block with its attention, each reduction."""
    steps: list[Step] = [unet.conv_in]
    for block in unet.down_blocks:
        steps += [_residual(block, index, emb, context) for index in range(len(block.resnets))]
        steps += list(block.downsamplers or [])
    return steps


def middle_step(unet: UNet2DConditionModel, emb: torch.Tensor, context: torch.Tensor) -> Step:
    """The middle: a residual block, attention, a residual block."""
    block = unet.mid_block

    def run(h: torch.Tensor) -> torch.Tensor:
        h = _residual(block, 0, emb, context)(h)
        return _recomputed(block, lambda h: block.resnets[1](h, emb), h)

    return run


def decoder_steps(
    unet: UNet2DConditionModel, emb: torch.Tensor, context: torch.Tensor
) -> list[Step]:
    """The decoder, block by block; each is given h beside its skip."""
    steps: list[Step] = []
    for block in unet.up_blocks:
        for index in range(len(block.resnets)):
            last = index == len(block.resnets) - 1
            enlarge = list(block.upsamplers or []) if last else []
            steps.append(_chain(_residual(block, index, emb, context), *enlarge))
    return steps


def _residual(block: Any, index: int, emb: torch.Tensor, context: torch.Tensor) -> Step:
    def run(h: torch.Tensor) -> torch.Tensor:
        h = block.resnets[index](h, emb)
        if getattr(block, "attentions", None) is not None:
            h = block.attentions[index](h, encoder_hidden_states=context, return_dict=False)[0]
        return h

    return lambda h: _recomputed(block, run, h)


def _recomputed(block: Any, step: Step, h: torch.Tensor) -> torch.Tensor:
    """Run a step; its activations are computed again for the gradient where a block says so.

    The switch is diffusers' own, `enable_gradient_checkpointing` of a network.
    """
    if block.gradient_checkpointing and torch.is_grad_enabled():
        # No random number is drawn in a block, so that no generator's state need be kept.
        found: torch.Tensor = checkpoint(step, h, use_reentrant=False, preserve_rng_state=False)
        return found
    return step(h)


def _chain(*steps: Step) -> Step:
    def run(h: torch.Tensor) -> torch.Tensor:
        for step in steps:
            h = step(h)
        return h

    return run


def block_channels(channels: Sequence[int], layers: int) -> list[int]:
    """Output channels of every encoder block."""
    out = [channels[0]]
    for level, count in enumerate(channels):
        reductions = 1 if level + 1 < len(channels) else 0
        out += [count] * (layers + reductions)
    return out


def decoder_channels(channels: Sequence[int], layers: int) -> list[int]:
    """Channels of what reaches every decoder block from the one before it (first: the middle)."""
    outputs = [count for count in reversed(channels) for _ in range(layers + 1)]
    return [channels[-1], *outputs[:-1]]
