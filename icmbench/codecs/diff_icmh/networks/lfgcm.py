"""LFGCM: the codec of Diff-ICMH, from an image to the conditioning latent c of the diffusion.

::

    x, ref -> g_a -> y -> h_a -> z -> z_hat -> h_s -> parameters of y's entropy model
                     y_hat, f_c(z_hat) -> g_s -> c

`ref` is the autoencoder's latent of the image. y has 1/16 of the image's size, z 1/64, c 1/8. z is
coded with a factorised prior, y with Gaussians whose parameters follow from z_hat and from the
part of y_hat that is known: slice by slice of its channels, and in a slice first one colour of a
checkerboard, the anchors, then the other.

The state dictionary has the tensor names of the published checkpoints, which are the format:
`FILE_NAMES` maps the transforms' names. The gains, our own, come beside them.

The entropy model must give the same numbers in encoder and decoder, so it can be put into float64
(`entropy_to_double`) and its results are rounded to a coarse grid (`snap`): another order of
summation on another machine is lost in the rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import torch
from torch import Tensor, nn

from icmbench.codecs.diff_icmh.networks.checkerboard import pack, unpack
from icmbench.codecs.diff_icmh.networks.gains import Adapters, Rate
from icmbench.codecs.diff_icmh.networks.transforms import (
    Analysis,
    BlockTransform,
    ChannelContext,
    EntropyParameters,
    HyperAnalysis,
    LfgcmSettings,
    Synthesis,
    bounded,
    hyper_feature,
    hyper_synthesis,
)
from icmbench.models.convolutions import conv
from icmbench.models.entropy_models import (
    EntropyBottleneck,
    gaussian_likelihood,
    round_through,
    snap,
)

STRIDE = 64  # height and width of an image are multiples of it
REF_STRIDE = 8  # image pixels per value of ref and of c
# Of a codec with a linear transform: what g_a adds to the transform's y and z, both before gains,
# and what g_s adds to the transform's c, whose values have a standard deviation of at most 1.
Y_BOUND: Final = 16.0
Z_BOUND: Final = 16.0
C_BOUND: Final = 2.0

# Modules of Lfgcm and the names of their tensors in state dictionaries and files.
FILE_NAMES: Final = {
    "g_a": "encoder",
    "h_a": "hyper_enc",
    "h_s": "hyper_dec.hyper_dec",
    "g_s": "decoder",
}

Visit = Callable[[Tensor, Tensor, int, bool], Tensor]
Uniform = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LfgcmOutput:
    """Output of the codec for a batch, for training and for estimates of the rate.

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


def _name_as_in_files(
    lfgcm: nn.Module, state: dict[str, Any], prefix: str, local_metadata: dict[str, Any]
) -> None:
    """Rename the tensors of a state dictionary in place; their order stays."""
    names = {f"{prefix}{ours}.": f"{prefix}{theirs}." for ours, theirs in FILE_NAMES.items()}
    for name in [name for name in state if name.startswith(prefix)]:
        ours = next((each for each in names if name.startswith(each)), "")
        state[names[ours] + name.removeprefix(ours) if ours else name] = state.pop(name)


def _name_as_modules(
    lfgcm: nn.Module,
    state: dict[str, Any],
    prefix: str,
    local_metadata: dict[str, Any],
    strict: bool,
    missing: list[str],
    unexpected: list[str],
    errors: list[str],
) -> None:
    """Undo `_name_as_in_files` before torch compares names; names of modules are unexpected."""
    for name in [name for name in state if name.startswith(prefix)]:
        for ours, theirs in FILE_NAMES.items():
            if name.startswith(f"{prefix}{ours}."):
                unexpected.append(name)
                del state[name]
            elif name.startswith(f"{prefix}{theirs}."):
                rest = name.removeprefix(f"{prefix}{theirs}.")
                state[f"{prefix}{ours}.{rest}"] = state.pop(name)


class Lfgcm(nn.Module):
    """The codec. `rate` of every method is None where the codec has no adapters."""

    def __init__(self, settings: LfgcmSettings) -> None:
        super().__init__()
        self.settings = settings
        self.g_a = Analysis(settings)
        self.h_a = HyperAnalysis(settings)
        self.h_s = hyper_synthesis(settings)
        self.f_c = hyper_feature(settings.hyper)
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
        self.g_s = Synthesis(settings)
        self.linear = BlockTransform(settings) if settings.linear else None
        self.entropy_bottleneck = EntropyBottleneck(settings.hyper)
        self.adapters = Adapters(settings) if settings.rates else None
        self.register_state_dict_post_hook(_name_as_in_files)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_name_as_modules)  # type: ignore[no-untyped-call]

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
        y = self.g_a(x, ref)
        if self.linear is not None:
            y = bounded(y.float(), Y_BOUND) + self.linear.forward_blocks(ref)
        y = self._gained("gain_y", y, rate)
        z = self.h_a(y, ref)
        if self.linear is not None:
            z = bounded(z.float(), Z_BOUND)
        return y, self._gained("gain_z", z, rate)

    def hyper(self, z_hat: Tensor, rate: Rate | None = None) -> Tensor:
        """Parameters (n, 2 latent, h, w) of the quantised z, in the dtype of the entropy model."""
        dtype = next(self.h_s.parameters()).dtype
        parameters: Tensor = self.h_s(self._gained("restore_z", z_hat.to(dtype), rate))
        return parameters

    def walk(self, hyper_params: Tensor, visit: Visit, exact: bool = False) -> Tensor:
        """Visit y in coding order; encoder, decoder and estimates differ in `visit` alone.

        Args:
            hyper_params: (n, 2 latent, h, w), w even; the walk runs in its dtype.
            visit: called for the anchors of every slice, then for its other positions, with
                scales (raw), means, the slice's index and whether these are anchors. It returns
                the residuals, integers in coding; they and the parameters are (n, c, h, w/2), the
                positions of a row (see `pack`) left to right.
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
                parameters = pack(parameters, anchor)
                scales, means = (snap(parameters) if exact else parameters).chunk(2, 1)
                return unpack(visit(scales, means, index, anchor) + means, anchor)

            anchors = code(self.entropy_parameters_anchor[index](torch.cat(context, 1)), True)
            context.insert(0, self.local_context[index](anchors))
            others = code(self.entropy_parameters_nonanchor[index](torch.cat(context, 1)), False)
            known.append(anchors + others)
        return torch.cat(known, 1)

    def synthesise(self, y_hat: Tensor, z_hat: Tensor, rate: Rate | None = None) -> Tensor:
        """C (n, 4, H/8, W/8) of the quantised y and z, in the dtype of the decoder."""
        dtype = next(self.g_s.parameters()).dtype
        y_hat = self._gained("restore_y", y_hat.to(dtype), rate)
        feature = self.f_c(self._gained("restore_z", z_hat.to(dtype), rate))
        c: Tensor = self.g_s(y_hat, feature)
        if self.linear is None:
            return c
        return bounded(c.float(), C_BOUND) + self.linear.backward_blocks(y_hat)

    def forward(
        self,
        x: Tensor,
        ref: Tensor,
        rate: Rate | None = None,
        uniform: Uniform = torch.rand_like,
    ) -> LfgcmOutput:
        """Run the whole codec; for other arguments see `analyse`.

        Likelihoods are those of values with uniform noise in training mode (`uniform`: noise in
        [0, 1) like a tensor, from torch's global generator), of the rounded values in evaluation
        mode. y_hat and z_hat are rounded in both.
        """
        y, z = self.analyse(x, ref, rate)
        y, z = y.float(), z.float()  # integers need more digits than a bfloat16 forward pass has
        medians = self.entropy_bottleneck.medians()
        z_hat = round_through(z - medians) + medians
        z_likelihoods = self.entropy_bottleneck.likelihood(
            z + uniform(z) - 0.5 if self.training else z_hat
        )
        parts = self.split(y)
        likelihoods: dict[tuple[int, bool], Tensor] = {}

        def visit(scales: Tensor, means: Tensor, index: int, anchor: bool) -> Tensor:
            residual = pack(parts[index], anchor) - means
            rounded = round_through(residual)
            # Uniform noise as wide as a quantisation step.
            modelled = residual + uniform(residual) - 0.5 if self.training else rounded
            likelihoods[index, anchor] = gaussian_likelihood(modelled, scales)
            return rounded

        y_hat = self.walk(self.hyper(z_hat, rate), visit)
        merged = [
            unpack(likelihoods[i, True], True) + unpack(likelihoods[i, False], False)
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
        """List the modules that decide bits: their results must be equal in encoder and decoder."""
        return [
            self.h_s,
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
        """Move the transforms to a device, for coding; the entropy model stays on the CPU.

        So do the gains, which are moved with the values that they multiply.
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


def _starts(slices: tuple[int, ...]) -> list[int]:
    """Channels before each slice."""
    return [0, *accumulate(slices[:-1])]


def _bits(likelihoods: Tensor) -> Tensor:
    """Sum the bits of every image's values: (n,)."""
    return -likelihoods.log2().flatten(1).sum(1)
