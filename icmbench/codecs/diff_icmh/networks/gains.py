"""Gain units: one LFGCM codec for several rates (Cui et al. 2021, CVPR)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings

LOWEST_GAIN = 1 / 8  # factor of y at the lowest rate, before training
LOWEST_GAIN_Z = 1 / 5  # of z: gains learn slowly, and at equal ones z would take most of a low rate

Rate = int | Tensor


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

    def follow_weights(self, lambda_rate: Sequence[float]) -> None:
        """Set all gains, before training, by the rate weights, from the lowest rate to the highest.

        At high rate the error of a quantiser and its slope against the rate go with the square of
        its step, so the step goes with the square root of the weight (Sullivan and Wiegand 1998).
        """
        weights = torch.tensor(lambda_rate)
        logs = (weights[-1] / weights).log()[:, None] / 2
        with torch.no_grad():
            for gain, restore in ((self.gain_y, self.restore_y), (self.gain_z, self.restore_z)):
                gain.copy_(logs.expand_as(gain))
                restore.copy_(-gain)

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


def _rising(lowest: float, rates: int, channels: int) -> Tensor:
    """Logarithms of gains from `lowest` to 1, in equal steps, alike for all channels."""
    steps = -torch.linspace(0, -math.log(lowest), rates).flip(0)
    return steps[:, None].repeat(1, channels)
