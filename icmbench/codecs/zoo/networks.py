"""Networks of the zoo's codecs: transforms with GDN, and the three entropy models.

    bmshj2018-factorized   y with a factorised prior (Ballé et al. 2018, section 6.1)
    bmshj2018-hyperprior   scales of y from z, z with a factorised prior (Ballé et al. 2018)
    mbt2018-mean           scales and means of y from z (Minnen et al. 2018, without context)

Attribute names are tensor names of the published checkpoints, which are the format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from icmbench.codecs.zoo.published import FACTORIZED, HYPERPRIOR, MEAN
from icmbench.models.convolutions import conv, deconv
from icmbench.models.entropy_models import EntropyBottleneck, snap
from icmbench.models.settings import NetworkSettings

STRIDE: Final = 16  # image pixels per value of y
HYPER_STRIDE: Final = 64  # of z
PEDESTAL: Final = 2.0**-36  # of the stored parameters of GDN: their gradient at 0 is not 0
BETA_LEAST: Final = 1e-6


@dataclass(frozen=True)
class ZooSettings(NetworkSettings):
    """Size of a codec.

    Attributes:
        codec: its name, which decides the network.
        channels: of the transforms and of z (N).
        latent: channels of y (M).
    """

    codec: str
    channels: int
    latent: int

    def __post_init__(self) -> None:
        if self.codec not in NETWORKS:
            raise ValueError(f"codec {self.codec!r}, expected one of {', '.join(NETWORKS)}")


class Gdn(nn.Module):
    """Generalised divisive normalisation (Ballé et al. 2016), or its approximate inverse.

    y_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j^2); the inverse multiplies. `beta` and `gamma` are
    stored as square roots above a pedestal (`nonnegative`).
    """

    def __init__(self, channels: int, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter((torch.ones(channels) + PEDESTAL).sqrt())
        self.gamma = nn.Parameter((0.1 * torch.eye(channels) + PEDESTAL).sqrt())

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (n, C, h, w)."""
        gamma = nonnegative(self.gamma, 0.0)[:, :, None, None]
        norm = functional.conv2d(x * x, gamma, nonnegative(self.beta, BETA_LEAST))
        return x * (norm.sqrt() if self.inverse else norm.rsqrt())


def nonnegative(stored: Tensor, least: float) -> Tensor:
    """The parameter, `least` or more, of a stored square root."""
    bounded = stored.clamp(min=float((least + PEDESTAL) ** 0.5))
    return bounded * bounded - PEDESTAL


class FactorizedPrior(nn.Module):
    """bmshj2018-factorized."""

    hyper = False

    def __init__(self, settings: ZooSettings) -> None:
        super().__init__()
        self.settings = settings
        n, m = settings.channels, settings.latent
        self.g_a = nn.Sequential(
            conv(3, n, stride=2), Gdn(n),
            conv(n, n, stride=2), Gdn(n),
            conv(n, n, stride=2), Gdn(n),
            conv(n, m, stride=2),
        )  # fmt: skip
        self.g_s = nn.Sequential(
            deconv(m, n), Gdn(n, inverse=True),
            deconv(n, n), Gdn(n, inverse=True),
            deconv(n, n), Gdn(n, inverse=True),
            deconv(n, 3),
        )  # fmt: skip
        self.entropy_bottleneck = EntropyBottleneck(n if self.hyper else m)

    def analyse(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Y (n, M, H/16, W/16) of x (n, 3, H, W) from 0 to 1, not quantised, and no z."""
        return self.g_a(x), None

    def synthesise(self, y_hat: Tensor) -> Tensor:
        """The reconstruction (n, 3, H, W), not clipped."""
        x_hat: Tensor = self.g_s(y_hat)
        return x_hat


class ScaleHyperprior(FactorizedPrior):
    """bmshj2018-hyperprior: y has the mean 0 and scales that follow from z."""

    hyper = True

    def __init__(self, settings: ZooSettings) -> None:
        super().__init__(settings)
        n, m = settings.channels, settings.latent
        self.h_a = nn.Sequential(
            conv(m, n, 3), nn.ReLU(), conv(n, n, stride=2), nn.ReLU(), conv(n, n, stride=2)
        )
        self.h_s = nn.Sequential(
            deconv(n, n), nn.ReLU(), deconv(n, n), nn.ReLU(), conv(n, m, 3), nn.ReLU()
        )

    def analyse(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Y as before, and z (n, N, H/64, W/64); H and W are multiples of 64."""
        y = self.g_a(x)
        return y, self.h_a(y.abs())

    def gaussian_parameters(self, z_hat: Tensor) -> tuple[Tensor, Tensor]:
        """Scales and means of y, on the grid of `snap`, in the dtype of h_s."""
        scales = snap(self.h_s(z_hat))
        return scales, torch.zeros_like(scales)

    def entropy_to_double(self) -> None:
        """Put the network that decides bits into float64."""
        self.h_s.double()


class MeanScaleHyperprior(ScaleHyperprior):
    """mbt2018-mean: y has scales and means that follow from z."""

    def __init__(self, settings: ZooSettings) -> None:
        super().__init__(settings)
        n, m = settings.channels, settings.latent
        self.h_a = nn.Sequential(
            conv(m, n, 3), nn.LeakyReLU(), conv(n, n, stride=2), nn.LeakyReLU(),
            conv(n, n, stride=2),
        )  # fmt: skip
        self.h_s = nn.Sequential(
            deconv(n, m), nn.LeakyReLU(), deconv(m, 3 * m // 2), nn.LeakyReLU(),
            conv(3 * m // 2, 2 * m, 3),
        )  # fmt: skip

    def analyse(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """As of `ScaleHyperprior`; z is of y, not of its magnitude."""
        y = self.g_a(x)
        return y, self.h_a(y)

    def gaussian_parameters(self, z_hat: Tensor) -> tuple[Tensor, Tensor]:
        """Scales and means of y, on the grid of `snap`, in the dtype of h_s."""
        scales, means = snap(self.h_s(z_hat)).chunk(2, 1)
        return scales, means


NETWORKS: Final[dict[str, type[FactorizedPrior]]] = {
    FACTORIZED: FactorizedPrior,
    HYPERPRIOR: ScaleHyperprior,
    MEAN: MeanScaleHyperprior,
}


def build_network(settings: ZooSettings, seed: int) -> FactorizedPrior:
    """An untrained codec whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[settings.codec](settings)
