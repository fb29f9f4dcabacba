"""The denoising network with one-way control (Diff-ICMH, section 3; DESIGN 6).

A frozen `UNet2DConditionModel` predicts the noise. A second encoder, a copy of the first one's
encoder half with the latent `c` of the codec beside x_t, is evaluated along with it and adds to it
through 1x1 convolutions that start at zero: after every encoder block, after the middle, and
before every decoder block. Nothing flows back. The prior alone is the same network without it.

The blocks are diffusers'; only their order of evaluation is ours, because the sums stand between
the residual blocks, inside what diffusers evaluates as one block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from icmbench.models.diffusers_networks import (
    TimestepEmbedding,
    Timesteps,
    Transformer2DModel,
    UNet2DConditionModel,
)
from icmbench.models.settings import NetworkSettings

NORM_GROUPS = 32  # of every group norm, or the largest divisor of its channels below

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


@dataclass(frozen=True)
class ControlSettings(NetworkSettings):
    """Size of the control network beside a UNet.

    Attributes:
        ratio: its channels over those of the UNet; see `control_channels`.
        head_width: channels of an attention head, or the largest divisor below.
        hint: channels of the codec's latent c.
        scale: factor of everything that is injected.
    """

    ratio: float = 1.0
    head_width: int = 16
    hint: int = 4
    scale: float = 1.0


@dataclass(frozen=True)
class ControlledSettings(NetworkSettings):
    """Sizes of a control network and of the UNet that it stands beside."""

    unet: UnetSettings
    control: ControlSettings


def control_channels(base: Sequence[int], ratio: float) -> list[int]:
    """Channels of the control network's resolutions.

    As in the official code the channels of the first resolution are scaled and rounded down, and
    the others follow from them by the UNet's own multipliers.
    """
    first = int(base[0] * ratio)
    return [first * channels // base[0] for channels in base]


def head_widths(channels: Sequence[int], attention: Sequence[bool], width: int) -> list[int]:
    """Channels of an attention head, of the control network's resolutions and then of the middle.

    Each is the largest divisor of its resolution's channels that is at most `width`. The middle
    keeps that of the last resolution with attention, as in the official code, whether or not it
    divides the channels of the middle.
    """
    widths = [largest_divisor(c, width) for c in channels]
    attending = [w for w, attends in zip(widths, attention, strict=True) if attends]
    return [*widths, (attending or widths)[-1]]


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor of a number that is at most `most`."""
    return next(d for d in range(min(number, most), 0, -1) if number % d == 0)


def build_unet(settings: UnetSettings, seed: int) -> UNet2DConditionModel:
    """An untrained prior whose weights depend on the seed alone."""
    heads = [max(1, c // settings.head_width) for c in settings.channels]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = _unet(settings, settings.latent, settings.channels, heads)
    _regroup(unet)
    return unet


def build_control(unet: UnetSettings, control: ControlSettings, seed: int) -> ControlNetwork:
    """An untrained control network; its injections are zero, so it starts without effect."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ControlNetwork(unet, control)


def _unet(
    settings: UnetSettings, inputs: int, channels: Sequence[int], heads: Sequence[int]
) -> UNet2DConditionModel:
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


def _attention(channels: int, head_width: int, context: int) -> Transformer2DModel:
    """An attention layer whose heads, of a given width, need not make up all channels."""
    return Transformer2DModel(
        num_attention_heads=channels // head_width,
        attention_head_dim=head_width,
        in_channels=channels,
        cross_attention_dim=context,
        norm_num_groups=1,  # set by `_regroup`
        use_linear_projection=True,
    )


def _regroup(network: torch.nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.num_groups = largest_divisor(module.num_channels, NORM_GROUPS)


class ControlNetwork(torch.nn.Module):
    """The copy of the encoder half, and the zero convolutions into the UNet.

    `encoder` holds a UNet without its decoder. `enc_zero[k]` adds to the output of encoder block k,
    `mid_zero` to the middle, `dec_zero[k]` to the input of decoder block k.
    """

    def __init__(self, unet: UnetSettings, settings: ControlSettings) -> None:
        super().__init__()
        self.settings = settings
        self.unet_settings = unet
        channels = control_channels(unet.channels, settings.ratio)
        *widths, middle = head_widths(channels, unet.attention, settings.head_width)
        heads = [c // width for c, width in zip(channels, widths, strict=True)]
        self.encoder = _unet(unet, unet.latent + settings.hint, channels, heads)
        if middle != widths[-1]:
            self.encoder.mid_block.attentions[0] = _attention(channels[-1], middle, unet.context)
        _regroup(self.encoder)
        # The sinusoid and the embedding's inner widths are the full ones, whatever the ratio.
        full = unet.channels[0]
        self.encoder.time_proj = Timesteps(full, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.encoder.time_embedding = TimestepEmbedding(full, 4 * full)
        _embed_from(self.encoder, 4 * full)
        del self.encoder.up_blocks, self.encoder.conv_norm_out, self.encoder.conv_out
        own, base = (
            block_channels(channels, unet.layers),
            block_channels(unet.channels, unet.layers),
        )
        self.enc_zero = _zeros(own, base)
        self.mid_zero = _zero(own[-1], base[-1])
        self.dec_zero = _zeros(own[::-1], decoder_channels(unet.channels, unet.layers))

    def injections(
        self, noisy: torch.Tensor, hint: torch.Tensor, level: torch.Tensor, context: torch.Tensor
    ) -> Injections:
        """What is added to the UNet at x_t (n, 4, h, w), c, t (n,) and text (n, tokens, C)."""
        emb = time_embedding(self.encoder, level, noisy)
        h = torch.cat([noisy, hint], 1)
        states = []
        for block in encoder_steps(self.encoder, emb, context):
            h = block(h)
            states.append(h)
        middle = middle_step(self.encoder, emb, context)(h)
        scale = self.settings.scale
        encoder = [z(s) * scale for z, s in zip(self.enc_zero, states, strict=True)]
        decoder = [z(s) * scale for z, s in zip(self.dec_zero, reversed(states), strict=True)]
        return Injections(encoder, self.mid_zero(middle) * scale, decoder)


@dataclass(frozen=True)
class Injections:
    """Sums for every encoder block, the middle and every decoder block of a UNet."""

    encoder: list[torch.Tensor]
    middle: torch.Tensor
    decoder: list[torch.Tensor]


def predict_noise(
    unet: UNet2DConditionModel,
    control: ControlNetwork | None,
    noisy: torch.Tensor,
    hint: torch.Tensor | None,
    level: torch.Tensor,
    context: torch.Tensor,
) -> torch.Tensor:
    """The noise in x_t, (n, 4, h, w).

    Args:
        control: None: the prior alone, which needs no hint.
        noisy: x_t, (n, 4, h, w); sides are continued to what the resolutions divide.
        hint: c, of the same shape.
        level: t, int (n,).
        context: text, (n, tokens, channels).
    """
    height, width = noisy.shape[2:]
    side = 1 << (len(unet.config["block_out_channels"]) - 1)
    pad = (0, -width % side, 0, -height % side)
    if any(pad):
        noisy = torch.nn.functional.pad(noisy, pad, "replicate")
        hint = None if hint is None else torch.nn.functional.pad(hint, pad, "replicate")
    added = None
    if control is not None:
        assert hint is not None, "control needs the codec's latent"
        added = control.injections(noisy, hint, level, context)
    emb = time_embedding(unet, level, noisy)
    h, skips = noisy, []
    for k, block in enumerate(encoder_steps(unet, emb, context)):
        h = block(h)
        if added is not None:
            h = h + added.encoder[k]
        skips.append(h)
    h = middle_step(unet, emb, context)(h)
    if added is not None:
        h = h + added.middle
    for k, step in enumerate(decoder_steps(unet, emb, context)):
        if added is not None:
            h = h + added.decoder[k]
        h = step(torch.cat([h, skips.pop()], 1))
    noise: torch.Tensor = unet.conv_out(unet.conv_act(unet.conv_norm_out(h)))
    return noise[:, :, :height, :width]


def middle_features(
    unet: UNet2DConditionModel, latent: torch.Tensor, level: torch.Tensor, context: torch.Tensor
) -> torch.Tensor:
    """Output of the middle block of the prior alone, (n, C, h', w')."""
    emb = time_embedding(unet, level, latent)
    h = latent
    for block in encoder_steps(unet, emb, context):
        h = block(h)
    return middle_step(unet, emb, context)(h)


def time_embedding(
    unet: UNet2DConditionModel, level: torch.Tensor, like: torch.Tensor
) -> torch.Tensor:
    """Embedding of t, (n, channels)."""
    embedded: torch.Tensor = unet.time_embedding(unet.time_proj(level).to(like.dtype))
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
        out: torch.Tensor = block.resnets[1](h, emb)
        return out

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

    return run


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


def _embed_from(encoder: UNet2DConditionModel, width: int) -> None:
    """Let every residual block read a time embedding of another width."""
    for block in [*encoder.down_blocks, encoder.mid_block]:
        for resnet in block.resnets:
            resnet.time_emb_proj = torch.nn.Linear(width, resnet.time_emb_proj.out_features)


def _zero(inputs: int, outputs: int) -> torch.nn.Conv2d:
    layer = torch.nn.Conv2d(inputs, outputs, 1)
    torch.nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    torch.nn.init.zeros_(layer.bias)
    return layer


def _zeros(inputs: Sequence[int], outputs: Sequence[int]) -> torch.nn.ModuleList:
    return torch.nn.ModuleList(_zero(i, o) for i, o in zip(inputs, outputs, strict=True))
