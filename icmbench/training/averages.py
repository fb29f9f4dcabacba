"""Exponential moving averages of weights."""

from __future__ import annotations

import torch


class MovingAverage:
    """Exponential moving average (EMA) of parameters; no copy is kept for a decay of 0.

    The decay is min(decay, step / (step + 10)), so that the initial values are soon forgotten.
    """

    def __init__(self, parameters: list[torch.nn.Parameter], decay: float) -> None:
        self.parameters = parameters if decay else []
        self.decay = decay
        self.values = [p.detach().clone() for p in self.parameters]

    def add(self, step: int) -> None:
        """Add the parameters after a step."""
        decay = min(self.decay, step / (step + 10))
        for value, parameter in zip(self.values, self.parameters, strict=True):
            value.lerp_(parameter.detach(), 1 - decay)

    def apply(self) -> None:
        """Copy the average into the network."""
        with torch.no_grad():
            for value, parameter in zip(self.values, self.parameters, strict=True):
                parameter.copy_(value)
