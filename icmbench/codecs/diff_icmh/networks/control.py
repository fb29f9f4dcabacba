"""One-way control of the denoising network (Diff-ICMH, section 3; DESIGN 6).

A frozen `UNet2DConditionModel` predicts the noise. A second encoder, a copy of its encoder half,
gets the conditioning latent `c` of the codec beside x_t. It is evaluated along with the first one
and adds to it through 1x1 convolutions that start at zero: after every encoder block, after the
middle, and before every decoder block. Nothing flows back. The prior alone is the same network
without control.

With `blend` (ours) the predicted latent is mixed with c (`networks.blend`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from diffusers import Transformer2DModel, UNet2DConditionModel
from diffusers.models.embeddings import TimestepEmbedding, Timesteps

from icmbench.codecs.diff_icmh.networks.blend import Blend
from icmbench.codecs.diff_icmh.networks.unet import (
    UnetSettings,
    block_channels,
    decoder_channels,
    decoder_steps,
    encoder_steps,
    largest_divisor,
    make_unet,
    middle_step,
    regroup,
    time_embedding,
)
from icmbench.codecs.diff_icmh.sampling import noise_of_velocity
from icmbench.models.settings import NetworkSettings


@dataclass(frozen=True)
class ControlSettings(NetworkSettings):
    """Size of the control network beside a UNet.

    Attributes:
        ratio: its channels over those of the UNet; see `control_channels`.
        head_width: channels of an attention head, or the largest divisor below.
        hint: channels of the conditioning latent c.
        scale: factor of everything that is injected.
        blend: hidden channels of the layers that mix the predicted latent with c; 0: no mixture.
    """

    added: ClassVar[tuple[str, ...]] = ("blend",)

    ratio: float = 1.0
    head_width: int = 16
    hint: int = 4
    scale: float = 1.0
    blend: int = 0


@dataclass(frozen=True)
class ControlledSettings(NetworkSettings):
    """Sizes of a control network and of the UNet beside it."""

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


def build_control(unet: UnetSettings, control: ControlSettings, seed: int) -> ControlNetwork:
    """An untrained control network; its injections are zero, so it starts without effect."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ControlNetwork(unet, control)


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


class ControlNetwork(torch.nn.Module):
    """The copy of the encoder half, and the zero convolutions into the UNet.

    `encoder` holds a UNet without its decoder. `enc_zero[k]` adds to the output of encoder block k,
    `mid_zero` to the middle, `dec_zero[k]` to the input of decoder block k. `blend` mixes the
    predicted latent with c, or is None.
    """

    def __init__(self, unet: UnetSettings, settings: ControlSettings) -> None:
        super().__init__()
        self.settings = settings
        self.unet_settings = unet
        channels = control_channels(unet.channels, settings.ratio)
        *widths, middle = head_widths(channels, unet.attention, settings.head_width)
        heads = [c // width for c, width in zip(channels, widths, strict=True)]
        self.encoder = make_unet(unet, unet.latent + settings.hint, channels, heads)
        if middle != widths[-1]:
            self.encoder.mid_block.attentions[0] = _attention(channels[-1], middle, unet.context)
        regroup(self.encoder)
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
        self.blend = (
            Blend(unet.channels[0], unet.latent, settings.blend) if settings.blend else None
        )

    def injections(
        self, noisy: torch.Tensor, c: torch.Tensor, timesteps: torch.Tensor, context: torch.Tensor
    ) -> Injections:
        """Compute the summands of the UNet from x_t, c (n, 4, h, w), t (n,), text (n, tokens, C).

        The arguments are those of `predict_noise`.
        """
        emb = time_embedding(self.encoder, timesteps, noisy)
        h = torch.cat([noisy, c], 1)
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
    c: torch.Tensor | None,
    timesteps: torch.Tensor,
    context: torch.Tensor,
    *,
    mixed: bool = True,
) -> torch.Tensor:
    """Predict the noise in x_t, (n, 4, h, w).

    The noise of a network that predicts the velocity (`prediction_type` in its configuration) is
    computed from that.

    Args:
        control: None: the prior alone, which needs no c.
        noisy: x_t, (n, 4, h, w); sides are padded to multiples of what the resolutions divide.
        c: conditioning latent, of the same shape.
        timesteps: t, int (n,).
        context: text, (n, tokens, channels).
        mixed: False: the prior's own prediction, of a control network that mixes c in, too.
    """
    height, width = noisy.shape[2:]
    x_t = noisy
    side = 1 << (len(unet.config["block_out_channels"]) - 1)
    pad = (0, -width % side, 0, -height % side)
    if any(pad):
        noisy = torch.nn.functional.pad(noisy, pad, "replicate")
        c = None if c is None else torch.nn.functional.pad(c, pad, "replicate")
    added = None
    if control is not None:
        assert c is not None, "control needs the conditioning latent"
        added = control.injections(noisy, c, timesteps, context)
    emb = time_embedding(unet, timesteps, noisy)
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
    features = unet.conv_act(unet.conv_norm_out(h))
    found: torch.Tensor = unet.conv_out(features)[:, :, :height, :width]
    if unet.config.get("prediction_type") == "v_prediction":
        found = noise_of_velocity(x_t, found, timesteps)
    if control is None or control.blend is None or not mixed:
        return found
    assert c is not None, "control needs the conditioning latent"
    features = features[:, :, :height, :width]
    blended: torch.Tensor = control.blend(features, c[:, :, :height, :width], x_t, found, timesteps)
    return blended


def middle_features(
    unet: UNet2DConditionModel, latent: torch.Tensor, timesteps: torch.Tensor, context: torch.Tensor
) -> torch.Tensor:
    """Output of the middle block of the prior alone, (n, C, h', w')."""
    emb = time_embedding(unet, timesteps, latent)
    h = latent
    for block in encoder_steps(unet, emb, context):
        h = block(h)
    return middle_step(unet, emb, context)(h)


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
