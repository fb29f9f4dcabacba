"""LFGCM: the codec of Diff-ICMH, from an image to the latent c that steers the diffusion.

An encoder turns the image, with the VAE's latent of it beside as side information (`ref`), into y
at 1/16 of the size; a hyper-encoder turns y into z at 1/64. z is coded with a factorised prior, y
with Gaussians whose parameters come from z and from what of y is known already: slice by slice of
its channels, and in a slice first one colour of a checkerboard, the anchors, then the other. The
decoder makes c, at 1/8 of the size, out of both.

The tensor names are those of the published checkpoints, which are the format: loading one is an
identity mapping, misspelling (`fushion`) included. The adapters, our own, come beside them.

What decides bits must come out alike in encoder and decoder, so it can be put into float64
(`entropy_to_double`) and rounded to a coarse grid (`snap`): then another order of summation on
another machine is lost in the rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn

from icmbench.codecs.diff_icmh.entropy.models import (
    EntropyBottleneck,
    gaussian_likelihood,
    round_through,
)
from icmbench.codecs.diff_icmh.networks.layers import (
    SFT,
    ResidualBlockUpsample,
    ResidualBlockWithStride,
    SFTResblk,
    conv,
    conv1x1,
    conv3x3,
    deconv,
    resampled_stage,
    side_feature,
    side_fusion,
)
from icmbench.models.settings import NetworkSettings

STRIDE = 64  # height and width of an image are multiples of it
REF_STRIDE = 8  # image pixels per value of ref and of c
GRID = 2.0**20  # steps per unit of the scales and means that bits are decided by
LOWEST_GAIN = 1 / 8  # factor of y at the lowest rate, before training
LOWEST_GAIN_Z = 1 / 5  # of z: gains learn slowly, and at equal ones z would take most of a low rate

Rate = int | Tensor
Visit = Callable[[Tensor, Tensor, int, bool], Tensor]


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
        rates: how many rates the adapters tell apart; 0: the published layout, no adapters.
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

    def __post_init__(self) -> None:
        if sum(self.slices) != self.latent:
            raise ValueError(f"slices of {sum(self.slices)} channels, latent of {self.latent}")
        if len(self.encoder) != 4 or len(self.context_hidden) != 2:
            widths = f"{len(self.encoder)} and {len(self.context_hidden)}"
            raise ValueError(f"{widths} widths of encoder and context_hidden, expected 4 and 2")
        if self.rates < 0:
            raise ValueError(f"{self.rates} rates")


@dataclass(frozen=True)
class LfgcmOutput:
    """What the codec makes of a batch, for training and for estimates of the rate.

    Attributes:
        c: (n, out_channels, H/8, W/8).
        y_hat: (n, latent, H/16, W/16), gained where there are adapters.
        z_hat: (n, hyper, H/64, W/64), likewise.
        y_likelihoods: of the shape of y_hat.
        z_likelihoods: of the shape of z_hat.
        bits: (n,), the sum of -log2 of both.
    """

    c: Tensor
    y_hat: Tensor
    z_hat: Tensor
    y_likelihoods: Tensor
    z_likelihoods: Tensor
    bits: Tensor


def build_lfgcm(settings: LfgcmSettings, seed: int) -> Lfgcm:
    """An untrained codec whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Lfgcm(settings)


def snap(values: Tensor) -> Tensor:
    """The nearest values of the grid 2^-20."""
    return (values * GRID).round() / GRID


def squeeze(values: Tensor, anchor: bool) -> Tensor:
    """One colour of the checkerboard: (n, c, h, w) to (n, c, h, w/2), each row left to right.

    Anchors are where row + column is odd. The width is even.
    """
    pairs = values.reshape(*values.shape[:-1], -1, 2)
    return torch.where(_second(values, anchor), pairs[..., 1], pairs[..., 0])


def spread(squeezed: Tensor, anchor: bool) -> Tensor:
    """The inverse of `squeeze`, with zeros on the other colour."""
    second = _second(squeezed, anchor)
    zero = torch.zeros_like(squeezed)
    pairs = (torch.where(second, zero, squeezed), torch.where(second, squeezed, zero))
    return torch.stack(pairs, -1).flatten(-2)


def _second(values: Tensor, anchor: bool) -> Tensor:
    """Whether a row's positions of a colour are the second ones of their pairs: (h, 1)."""
    rows = torch.arange(values.shape[-2], device=values.device)
    return (rows % 2 == (0 if anchor else 1))[:, None]


class Encoder(nn.Module):
    """Image and ref to y, at 1/16 of the size."""

    def __init__(self, settings: LfgcmSettings) -> None:
        super().__init__()
        half, quarter, eighth, last = settings.encoder
        side, hidden = settings.prior, settings.sft_hidden
        self.sft_1_8 = side_feature(settings.out_channels, side)
        self.sft_1_16 = side_feature(side, side, 2)
        self.sft_1_16_2 = side_feature(side, side)
        self.g_a1 = nn.Sequential(
            *resampled_stage(ResidualBlockWithStride(settings.in_channels, half), half),
            *resampled_stage(ResidualBlockWithStride(half, quarter), quarter),
            *resampled_stage(ResidualBlockWithStride(quarter, eighth), eighth),
        )
        self.g_a1_ref = SFT(eighth, side, hidden)
        self.g_a2 = nn.Sequential(*resampled_stage(ResidualBlockWithStride(eighth, last), last))
        self.g_a2_ref = SFT(last, side, hidden)
        self.g_a3 = conv3x3(last, last)
        self.g_a4 = SFTResblk(last, side, hidden)
        self.g_a5 = SFTResblk(last, side, hidden)
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


class HyperEncoder(nn.Module):
    """Y and ref to z, at 1/4 of the size of y."""

    def __init__(self, settings: LfgcmSettings) -> None:
        super().__init__()
        channels, side, hidden = settings.hyper, settings.prior, settings.sft_hidden
        self.sft_feature = side_feature(settings.out_channels, side, 2)
        self.sft_feature_h1 = side_fusion(side + settings.latent, side)
        self.sft_feature_h2 = side_feature(side, side, 2)
        self.sft_feature_h3 = side_feature(side, side, 2)
        self.h_a0 = conv3x3(settings.latent, channels)
        self.h_a1 = SFT(channels, side, hidden)
        self.h_a2 = nn.GELU()
        self.h_a3 = conv(channels, channels, stride=2)
        self.h_a4 = SFT(channels, side, hidden)
        self.h_a5 = nn.GELU()
        self.h_a6 = conv(channels, channels, stride=2)
        self.h_a7 = SFTResblk(channels, side, hidden)
        self.h_a8 = SFTResblk(channels, side, hidden)
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


class HyperDecoder(nn.Module):
    """z_hat to the parameters that every slice's entropy model starts from, at the size of y."""

    def __init__(self, settings: LfgcmSettings) -> None:
        super().__init__()
        channels = settings.latent
        self.hyper_dec = nn.Sequential(
            deconv(settings.hyper, channels),
            nn.GELU(),
            deconv(channels, 3 * channels // 2),
            nn.GELU(),
            deconv(3 * channels // 2, 2 * channels, 3, 1),
        )

    def forward(self, z_hat: Tensor) -> Tensor:
        """(n, 2 latent, 4h, 4w) of (n, hyper, h, w)."""
        parameters: Tensor = self.hyper_dec(z_hat)
        return parameters


class ChannelContext(nn.Module):
    """What the slices before say about one."""

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


class Decoder(nn.Module):
    """y_hat and the feature f of z_hat to c, at twice the size of y."""

    def __init__(self, settings: LfgcmSettings) -> None:
        super().__init__()
        channels, latent = settings.hyper, settings.latent
        side, hidden = settings.prior, settings.sft_hidden
        self.sft_feature_gs1 = side_fusion(channels // 4 + latent, side)
        self.sft_feature_gs2 = side_feature(side, side)
        self.sft_feature_gs3 = nn.Sequential(deconv(side, side, 3), nn.GELU(), conv1x1(side, side))
        self.g_s0 = SFTResblk(latent, side, hidden)
        self.g_s1 = SFTResblk(latent, side, hidden)
        self.g_s2 = nn.Sequential(*resampled_stage(conv3x3(latent, channels), channels))
        self.g_s2_ref = SFT(channels, side, hidden)
        upsample = ResidualBlockUpsample(channels, channels)
        self.g_s3 = nn.Sequential(*resampled_stage(upsample, channels))
        self.g_s3_ref = SFT(channels, side, hidden)
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


class Adapters(nn.Module):
    """Gains that make one codec serve several rates, as logarithms (Cui et al. 2021, CVPR).

    A rate multiplies the channels of y and z before they are quantised, and again where they are
    used; a gain unit per rate is all that training at another rate adds. Rates rise with their
    index.
    """

    def __init__(self, settings: LfgcmSettings) -> None:
        super().__init__()
        gain_y = _rising(LOWEST_GAIN, settings.rates, settings.latent)
        gain_z = _rising(LOWEST_GAIN_Z, settings.rates, settings.hyper)
        self.gain_y = nn.Parameter(gain_y)
        self.restore_y = nn.Parameter(-gain_y)
        self.gain_z = nn.Parameter(gain_z)
        self.restore_z = nn.Parameter(-gain_z)

    def apply_gain(self, name: str, values: Tensor, rate: Rate) -> Tensor:
        """Values (n, c, h, w) times the gains `name` of a rate, or of one rate per image (n,).

        In the dtype and on the device of the values. Raises ValueError for a rate that is none, or
        not one per image.
        """
        logs: Tensor = getattr(self, name)
        if isinstance(rate, Tensor) and rate.shape != values.shape[:1]:
            raise ValueError(f"rates of the shape {tuple(rate.shape)}, {values.shape[0]} images")
        if isinstance(rate, int) and not 0 <= rate < len(logs):
            raise ValueError(f"rate {rate}, expected 0 to {len(logs) - 1}")
        gains = logs[rate].to(values.device, values.dtype).exp()
        return values * gains.reshape(-1, logs.shape[1], 1, 1)


class Lfgcm(nn.Module):
    """The codec; what every method calls `rate` is None where it has no adapters."""

    def __init__(self, settings: LfgcmSettings) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = Encoder(settings)
        self.hyper_enc = HyperEncoder(settings)
        self.hyper_dec = HyperDecoder(settings)
        self.f_c = _hyper_feature(settings.hyper)
        self.local_context = nn.ModuleList(conv(c, 2 * c) for c in settings.slices)
        self.channel_context = nn.ModuleList()
        self.entropy_parameters_anchor = nn.ModuleList()
        self.entropy_parameters_nonanchor = nn.ModuleList()
        for channels, known in zip(settings.slices, _starts(settings.slices), strict=True):
            # The first slice has no context, but a place in the list: the names count from 0.
            context = ChannelContext(known, channels, settings.context_hidden) if known else None
            self.channel_context.append(context or nn.Identity())
            inputs = 2 * settings.latent + (2 * channels if known else 0)
            self.entropy_parameters_anchor.append(EntropyParameters(inputs, channels))
            inputs += 2 * channels
            self.entropy_parameters_nonanchor.append(EntropyParameters(inputs, channels))
        self.decoder = Decoder(settings)
        self.entropy_bottleneck = EntropyBottleneck(settings.hyper)
        self.adapters = Adapters(settings) if settings.rates else None

    def analyse(self, x: Tensor, ref: Tensor, rate: Rate | None = None) -> tuple[Tensor, Tensor]:
        """Y (n, latent, H/16, W/16) and z (n, hyper, H/64, W/64), gained, not quantised.

        Args:
            x: (n, 3, H, W), values 0 to 1; H and W are multiples of STRIDE.
            ref: (n, 4, H/8, W/8), the VAE's latent of x, scaled.
            rate: index of one for all images, or (n,), one each.

        Raises ValueError for other sizes, and for a rate that the adapters do not have.
        """
        height, width = x.shape[-2:]
        if height % STRIDE or width % STRIDE:
            raise ValueError(f"image of {height}x{width}, expected multiples of {STRIDE}")
        if ref.shape[-2:] != (height // REF_STRIDE, width // REF_STRIDE):
            raise ValueError(f"ref of {tuple(ref.shape)} for an image of {height}x{width}")
        y = self._gained("gain_y", self.encoder(x, ref), rate)
        z = self._gained("gain_z", self.hyper_enc(y, ref), rate)
        return y, z

    def hyper(self, z_hat: Tensor, rate: Rate | None = None) -> Tensor:
        """Parameters (n, 2 latent, h, w) of the quantised z, in the dtype of the entropy model."""
        dtype = next(self.hyper_dec.parameters()).dtype
        parameters: Tensor = self.hyper_dec(self._gained("restore_z", z_hat.to(dtype), rate))
        return parameters

    def walk(self, hyper_params: Tensor, visit: Visit, exact: bool = False) -> Tensor:
        """Go through y in coding order; encoder, decoder and estimates differ in `visit` alone.

        Args:
            hyper_params: (n, 2 latent, h, w), w even; the walk runs in its dtype.
            visit: called for the anchors of every slice, then for its other positions, with
                scales (raw), means, the slice's index and whether these are anchors. It returns
                the residuals, integers in coding; they and the parameters are (n, c, h, w/2), the
                positions of a row (see `squeeze`) left to right.
            exact: round scales and means to the grid, as coding does.

        Returns:
            y_hat (n, latent, h, w): residual + mean everywhere.
        """
        known: list[Tensor] = []
        for index in range(len(self.settings.slices)):
            context = [hyper_params]
            if known:
                context.insert(0, self.channel_context[index](torch.cat(known, 1)))

            def code(parameters: Tensor, anchor: bool, index: int = index) -> Tensor:
                parameters = squeeze(parameters, anchor)
                scales, means = (snap(parameters) if exact else parameters).chunk(2, 1)
                return spread(visit(scales, means, index, anchor) + means, anchor)

            anchors = code(self.entropy_parameters_anchor[index](torch.cat(context, 1)), True)
            context.insert(0, self.local_context[index](anchors))
            others = code(self.entropy_parameters_nonanchor[index](torch.cat(context, 1)), False)
            known.append(anchors + others)
        return torch.cat(known, 1)

    def synthesise(self, y_hat: Tensor, z_hat: Tensor, rate: Rate | None = None) -> Tensor:
        """C (n, 4, H/8, W/8) of the quantised y and z, in the dtype of the decoder."""
        dtype = next(self.decoder.parameters()).dtype
        y_hat = self._gained("restore_y", y_hat.to(dtype), rate)
        feature = self.f_c(self._gained("restore_z", z_hat.to(dtype), rate))
        c: Tensor = self.decoder(y_hat, feature)
        return c

    def forward(self, x: Tensor, ref: Tensor, rate: Rate | None = None) -> LfgcmOutput:
        """Everything at once: for arguments see `analyse`.

        Likelihoods are those of values with uniform noise in training mode (from torch's global
        generator), of the rounded values in evaluation mode. What the networks go on with is
        rounded in both.
        """
        y, z = self.analyse(x, ref, rate)
        y, z = y.float(), z.float()  # integers need more digits than a bfloat16 forward pass has
        medians = self.entropy_bottleneck.medians()
        z_hat = round_through(z - medians) + medians
        z_likelihoods = self.entropy_bottleneck.likelihood(_noisy(z) if self.training else z_hat)
        parts = self.split(y)
        likelihoods: dict[tuple[int, bool], Tensor] = {}

        def visit(scales: Tensor, means: Tensor, index: int, anchor: bool) -> Tensor:
            residual = squeeze(parts[index], anchor) - means
            rounded = round_through(residual)
            modelled = _noisy(residual) if self.training else rounded
            likelihoods[index, anchor] = gaussian_likelihood(modelled, scales)
            return rounded

        y_hat = self.walk(self.hyper(z_hat, rate), visit)
        merged = [
            spread(likelihoods[i, True], True) + spread(likelihoods[i, False], False)
            for i in range(len(parts))
        ]
        y_likelihoods = torch.cat(merged, 1)
        bits = _bits(y_likelihoods) + _bits(z_likelihoods)
        c = self.synthesise(y_hat, z_hat, rate)
        return LfgcmOutput(c, y_hat, z_hat, y_likelihoods, z_likelihoods, bits)

    def split(self, y: Tensor) -> tuple[Tensor, ...]:
        """The slices (n, c_i, h, w) of y."""
        return torch.split(y, list(self.settings.slices), 1)

    def entropy_modules(self) -> list[nn.Module]:
        """The modules that decide bits: encoder and decoder must get the same from them."""
        return [
            self.hyper_dec,
            self.local_context,
            self.channel_context,
            self.entropy_parameters_anchor,
            self.entropy_parameters_nonanchor,
        ]

    def entropy_to_double(self) -> None:
        """Put the modules that decide bits into float64, for coding; the others stay."""
        for module in self.entropy_modules():
            module.double()

    def move_transforms(self, device: str) -> None:
        """Put what decides no bits on a device, for coding; the entropy model stays on the CPU.

        So do the gains: both sides need them, and they follow the values.
        """
        staying = (*self.entropy_modules(), self.entropy_bottleneck, self.adapters)
        for module in self.children():
            if not any(module is other for other in staying):
                module.to(device)

    def _gained(self, name: str, values: Tensor, rate: Rate | None) -> Tensor:
        if (rate is None) != (self.adapters is None):
            has = "no adapters" if self.adapters is None else f"{self.settings.rates} rates"
            raise ValueError(f"rate {rate} for a codec with {has}")
        if self.adapters is None or rate is None:
            return values
        return self.adapters.apply_gain(name, values, rate)


def _rising(lowest: float, rates: int, channels: int) -> Tensor:
    """Logarithms of gains from `lowest` to 1, in equal steps, alike for all channels."""
    steps = -torch.linspace(0, -math.log(lowest), rates).flip(0)
    return steps[:, None].repeat(1, channels)


def _hyper_feature(channels: int) -> nn.Sequential:
    """z_hat to the feature f that the decoder has beside y_hat, at the size of y."""
    return nn.Sequential(
        deconv(channels, channels // 2),
        nn.GELU(),
        deconv(channels // 2, channels // 4),
        nn.GELU(),
        deconv(channels // 4, channels // 4, 3, 1),
    )


def _starts(slices: tuple[int, ...]) -> list[int]:
    """Channels before each slice."""
    return [0, *accumulate(slices[:-1])]


def _noisy(values: Tensor) -> Tensor:
    """Values under uniform noise as wide as a quantisation step."""
    return values + torch.rand_like(values) - 0.5


def _bits(likelihoods: Tensor) -> Tensor:
    """What the values of every image cost: (n,)."""
    return -likelihoods.log2().flatten(1).sum(1)
