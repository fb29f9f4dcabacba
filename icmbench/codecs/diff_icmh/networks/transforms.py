"""Transforms of the LFGCM codec: g_a, h_a, h_s and g_s, and the networks of its entropy model.

Attributes inside a transform have the tensor names of the published checkpoints, which are the
format, the misspelling `fushion` included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from icmbench.codecs.diff_icmh.networks.layers import (
    SFT,
    ResidualBlockUpsample,
    ResidualBlockWithStride,
    SFTResblk,
    conv1x1,
    conv3x3,
    resampled_stage,
    side_feature,
    side_fusion,
)
from icmbench.models.convolutions import conv, deconv
from icmbench.models.settings import NetworkSettings

BLOCK = 2  # latent cells per value of y, a side


@dataclass(frozen=True)
class LfgcmSettings(NetworkSettings):
    """Size of the codec; the defaults are the published one's.

    Attributes:
        in_channels: of the image.
        out_channels: of the VAE's latent, so of `ref` and of c.
        encoder: channels of the encoder at 1/2, 1/4, 1/8 and 1/16.
        hyper: channels of z (N).
        latent: channels of y (M).
        prior: channels of the side features.
        slices: channels of y per slice, in coding order.
        sft_hidden: channels inside a modulation.
        context_hidden: the two hidden widths of the context between slices.
        rates: number of rates of the adapters; 0: the published layout, no adapters.
        linear: a linear transform of the latent beside g_a and g_s (`BlockTransform`); False: the
            published layout.
    """

    in_channels: int = 3
    out_channels: int = 4
    encoder: tuple[int, ...] = (64, 128, 192, 192)
    hyper: int = 192
    latent: int = 320
    prior: int = 64
    slices: tuple[int, ...] = (8, 8, 8, 8, 16, 16, 32, 32, 96, 96)
    sft_hidden: int = 128
    context_hidden: tuple[int, ...] = (224, 128)
    rates: int = 0
    linear: bool = False

    @classmethod
    def read(cls, values: object, where: str = "network") -> Self:
        """The settings of plain values; those of earlier files do not have `linear`."""
        given = {"linear": False, **values} if isinstance(values, Mapping) else values
        return super().read(given, where)

    def __post_init__(self) -> None:
        if sum(self.slices) != self.latent:
            raise ValueError(f"slices of {sum(self.slices)} channels, latent of {self.latent}")
        if len(self.encoder) != 4 or len(self.context_hidden) != 2:
            widths = f"{len(self.encoder)} and {len(self.context_hidden)}"
            raise ValueError(f"{widths} widths of encoder and context_hidden, expected 4 and 2")
        if self.rates < 0:
            raise ValueError(f"{self.rates} rates")


class Analysis(nn.Module):
    """g_a: image and ref to y, at 1/16 of the size."""

    def __init__(self, settings: LfgcmSettings) -> None:
        super().__init__()
        half, quarter, eighth, last = settings.encoder
        side, hidden = settings.prior, settings.sft_hidden
        limited = settings.linear
        self.sft_1_8 = side_feature(settings.out_channels, side)
        self.sft_1_16 = side_feature(side, side, 2)
        self.sft_1_16_2 = side_feature(side, side)
        self.g_a1 = nn.Sequential(
            *resampled_stage(ResidualBlockWithStride(settings.in_channels, half), half),
            *resampled_stage(ResidualBlockWithStride(half, quarter), quarter),
            *resampled_stage(ResidualBlockWithStride(quarter, eighth), eighth),
        )
        self.g_a1_ref = SFT(eighth, side, hidden, limited)
        self.g_a2 = nn.Sequential(*resampled_stage(ResidualBlockWithStride(eighth, last), last))
        self.g_a2_ref = SFT(last, side, hidden, limited)
        self.g_a3 = conv3x3(last, last)
        self.g_a4 = SFTResblk(last, side, hidden, limited)
        self.g_a5 = SFTResblk(last, side, hidden, limited)
        self.g_a6 = conv3x3(last, settings.latent)

    def forward(self, x: Tensor, ref: Tensor) -> Tensor:
        """Y (n, latent, H/16, W/16) of x (n, 3, H, W) and ref (n, 4, H/8, W/8)."""
        side = self.sft_1_8(ref)
        out = self.g_a1_ref(self.g_a1(x), side)
        side = self.sft_1_16(side)
        out = self.g_a3(self.g_a2_ref(self.g_a2(out), side))
        side = self.sft_1_16_2(side)
        y: Tensor = self.g_a6(self.g_a5(self.g_a4(out, side), side))
        return y


class BlockTransform(nn.Module):
    """A linear transform between blocks of 2 x 2 latent cells and y, beside g_a and g_s.

    g_a and g_s then learn what a linear transform lacks. It is evaluated in float32: in bfloat16
    the leading channels of a latent would lose what the last ones hold.
    """

    def __init__(self, settings: LfgcmSettings) -> None:
        super().__init__()
        values = settings.out_channels * BLOCK**2
        self.analysis = conv1x1(values, settings.latent)
        self.synthesis = conv1x1(settings.latent, values)

    def forward_blocks(self, ref: Tensor) -> Tensor:
        """The part of y, (n, latent, h/2, w/2), of ref (n, C, h, w)."""
        with torch.autocast(ref.device.type, enabled=False):
            part: Tensor = self.analysis(functional.pixel_unshuffle(ref.float(), BLOCK))
        return part

    def backward_blocks(self, y_hat: Tensor) -> Tensor:
        """The part of c, (n, C, 2h, 2w), of y_hat (n, latent, h, w)."""
        with torch.autocast(y_hat.device.type, enabled=False):
            return functional.pixel_shuffle(self.synthesis(y_hat.float()), BLOCK)


def bounded(values: Tensor, bound: float) -> Tensor:
    """Values of any shape, smoothly held within -bound and bound.

    What the networks add to the linear transform's values is small; one unusual image in a thousand
    would else have values that the training does not survive.
    """
    return bound * torch.tanh(values / bound)


class HyperAnalysis(nn.Module):
    """h_a: y and ref to z, at 1/4 of the size of y."""

    def __init__(self, settings: LfgcmSettings) -> None:
        super().__init__()
        channels, side, hidden = settings.hyper, settings.prior, settings.sft_hidden
        limited = settings.linear
        self.sft_feature = side_feature(settings.out_channels, side, 2)
        self.sft_feature_h1 = side_fusion(side + settings.latent, side)
        self.sft_feature_h2 = side_feature(side, side, 2)
        self.sft_feature_h3 = side_feature(side, side, 2)
        self.h_a0 = conv3x3(settings.latent, channels)
        self.h_a1 = SFT(channels, side, hidden, limited)
        self.h_a2 = nn.GELU()
        self.h_a3 = conv(channels, channels, stride=2)
        self.h_a4 = SFT(channels, side, hidden, limited)
        self.h_a5 = nn.GELU()
        self.h_a6 = conv(channels, channels, stride=2)
        self.h_a7 = SFTResblk(channels, side, hidden, limited)
        self.h_a8 = SFTResblk(channels, side, hidden, limited)
        self.h_a9 = conv1x1(channels, channels)

    def forward(self, y: Tensor, ref: Tensor) -> Tensor:
        """Z (n, hyper, h/4, w/4) of y (n, latent, h, w) and ref (n, 4, 2h, 2w)."""
        side = self.sft_feature_h1(torch.cat([self.sft_feature(ref), y], 1))
        out = self.h_a2(self.h_a1(self.h_a0(y), side))
        side = self.sft_feature_h2(side)
        out = self.h_a5(self.h_a4(self.h_a3(out), side))
        side = self.sft_feature_h3(side)
        z: Tensor = self.h_a9(self.h_a8(self.h_a7(self.h_a6(out), side), side))
        return z


def hyper_synthesis(settings: LfgcmSettings) -> nn.Sequential:
    """Build h_s: z_hat (n, hyper, h, w) to the entropy model's parameters (n, 2 latent, 4h, 4w)."""
    channels = settings.latent
    return nn.Sequential(
        deconv(settings.hyper, channels),
        nn.GELU(),
        deconv(channels, 3 * channels // 2),
        nn.GELU(),
        deconv(3 * channels // 2, 2 * channels, 3, 1),
    )


class ChannelContext(nn.Module):
    """Context of a slice: features of the slices that are coded before it."""

    def __init__(self, known: int, channels: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.fushion = nn.Sequential(
            conv(known, hidden[0]),
            nn.GELU(),
            conv(hidden[0], hidden[1]),
            nn.GELU(),
            conv(hidden[1], 2 * channels),
        )

    def forward(self, known: Tensor) -> Tensor:
        """(n, 2 channels, h, w) of (n, known, h, w)."""
        context: Tensor = self.fushion(known)
        return context


class EntropyParameters(nn.Module):
    """Scales and means of a slice's channels, from everything known at the same place."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        widths = (inputs, 2 * channels * 5 // 3, 2 * channels * 4 // 3, 2 * channels)
        self.fusion = nn.Sequential(
            conv1x1(widths[0], widths[1]),
            nn.GELU(),
            conv1x1(widths[1], widths[2]),
            nn.GELU(),
            conv1x1(widths[2], widths[3]),
        )

    def forward(self, known: Tensor) -> Tensor:
        """(n, 2 channels, h, w): scales first, raw, then means."""
        parameters: Tensor = self.fusion(known)
        return parameters


class Synthesis(nn.Module):
    """g_s: y_hat and the feature f of z_hat to c, at twice the size of y."""

    def __init__(self, settings: LfgcmSettings) -> None:
        super().__init__()
        channels, latent = settings.hyper, settings.latent
        side, hidden = settings.prior, settings.sft_hidden
        limited = settings.linear
        self.sft_feature_gs1 = side_fusion(channels // 4 + latent, side)
        self.sft_feature_gs2 = side_feature(side, side)
        self.sft_feature_gs3 = nn.Sequential(deconv(side, side, 3), nn.GELU(), conv1x1(side, side))
        self.g_s0 = SFTResblk(latent, side, hidden, limited)
        self.g_s1 = SFTResblk(latent, side, hidden, limited)
        self.g_s2 = nn.Sequential(*resampled_stage(conv3x3(latent, channels), channels))
        self.g_s2_ref = SFT(channels, side, hidden, limited)
        upsample = ResidualBlockUpsample(channels, channels)
        self.g_s3 = nn.Sequential(*resampled_stage(upsample, channels))
        self.g_s3_ref = SFT(channels, side, hidden, limited)
        self.g_s4 = conv3x3(channels, settings.out_channels)

    def forward(self, y_hat: Tensor, feature: Tensor) -> Tensor:
        """C (n, 4, 2h, 2w) of y_hat (n, latent, h, w) and f (n, hyper/4, h, w)."""
        side = self.sft_feature_gs1(torch.cat([feature, y_hat], 1))
        out = self.g_s1(self.g_s0(y_hat, side), side)
        side = self.sft_feature_gs2(side)
        out = self.g_s2_ref(self.g_s2(out), side)
        side = self.sft_feature_gs3(side)
        c: Tensor = self.g_s4(self.g_s3_ref(self.g_s3(out), side))
        return c


def hyper_feature(channels: int) -> nn.Sequential:
    """Build f_c: z_hat to the feature f that g_s has beside y_hat, at the size of y."""
    return nn.Sequential(
        deconv(channels, channels // 2),
        nn.GELU(),
        deconv(channels // 2, channels // 4),
        nn.GELU(),
        deconv(channels // 4, channels // 4, 3, 1),
    )
