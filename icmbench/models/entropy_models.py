"""Probabilities of quantised values: a learned factorised prior, and a Gaussian.

Both give the values of CompressAI's entropy models, and the prior has the names of its learned
tensors (`matrices.0`, `biases.0`, `factors.0`, `quantiles`): the published checkpoints, which are
the format, hold them. Its constants and tables, which CompressAI keeps as buffers, follow from
these tensors and are no part of a state dictionary here.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

SCALE_FLOOR = 0.11  # of a Gaussian's standard deviation
LIKELIHOOD_FLOOR = 1e-9  # of any value: an impossible one costs 30 bits and still has a gradient
TAIL_MASS = 1e-9  # outside the outer two quantiles of the factorised prior
INIT_SCALE = 10.0  # of the untrained factorised prior, a logistic distribution
FILTERS = (3, 3, 3, 3)  # hidden widths of the factorised prior's cumulative function
GRID = 2.0**20  # steps per unit of the scales and means that bits are decided by


class _LowerBound(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(values)
        ctx.bound = bound
        return values.clamp(min=bound)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (values,) = ctx.saved_tensors
        (gradient,) = gradients
        # A step against a negative gradient moves the value up, back to where it has an effect.
        return gradient * ((values >= ctx.bound) | (gradient < 0)), None


class _RoundThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.round()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0]


def lower_bound(values: Tensor, bound: float) -> Tensor:
    """The larger of values and bound; below it, a gradient passes where it moves a value up."""
    bounded: Tensor = _LowerBound.apply(values, bound)  # type: ignore[no-untyped-call]
    return bounded


def round_through(values: Tensor) -> Tensor:
    """The nearest integers (halves to the even one), with the gradient of the identity."""
    rounded: Tensor = _RoundThrough.apply(values)  # type: ignore[no-untyped-call]
    return rounded


def snap(values: Tensor) -> Tensor:
    """The nearest values of the grid 2^-20."""
    return (values * GRID).round() / GRID


def gaussian_likelihood(residual: Tensor, scale: Tensor) -> Tensor:
    """Probability of the unit interval around a residual, normal with mean 0.

    Args:
        residual: value minus mean, any shape.
        scale: standard deviation, of the same shape, floored at SCALE_FLOOR: raw network output.

    Returns:
        At least LIKELIHOOD_FLOOR; float32, or float64 where an argument is.
    """
    wide = torch.promote_types(torch.promote_types(residual.dtype, scale.dtype), torch.float32)
    scale = lower_bound(scale.to(wide), SCALE_FLOOR)
    # On the negative side, where the difference of two small numbers is exact in the far tail.
    distance = residual.to(wide).abs()
    upper = _normal_cdf((0.5 - distance) / scale)
    lower = _normal_cdf((-0.5 - distance) / scale)
    return lower_bound(upper - lower, LIKELIHOOD_FLOOR)


def _normal_cdf(values: Tensor) -> Tensor:
    return 0.5 * torch.erfc(values * -math.sqrt(0.5))


class EntropyBottleneck(nn.Module):
    """A factorised prior: one learned distribution per channel (Ballé et al. 2018, appendix 6.1).

    The logit of a channel's cumulative function is a small monotone network. `quantiles`
    (C, 1, 3) are its lower tail, median and upper tail, set after training (`set_quantile_tails`).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (1, *FILTERS, 1)
        layer_scale = INIT_SCALE ** (1 / (len(widths) - 1))
        self.matrices = nn.ParameterList()
        self.biases = nn.ParameterList()
        self.factors = nn.ParameterList()
        for inputs, outputs in pairwise(widths):
            start = math.log(math.expm1(1 / layer_scale / outputs))
            self.matrices.append(nn.Parameter(torch.full((channels, outputs, inputs), start)))
            self.biases.append(nn.Parameter(torch.rand(channels, outputs, 1) - 0.5))
        for width in FILTERS:
            self.factors.append(nn.Parameter(torch.zeros(channels, width, 1)))
        start_quantiles = torch.tensor([-INIT_SCALE, 0.0, INIT_SCALE])
        self.quantiles = nn.Parameter(start_quantiles.repeat(channels, 1, 1))

    def medians(self) -> Tensor:
        """The medians (C, 1, 1): integers are counted from them. Without gradient."""
        return self.quantiles[:, :, 1:2].detach()

    def logits(self, values: Tensor) -> Tensor:
        """Compute the logit of the cumulative function at values (C, 1, k), of the same shape."""
        # A product in bfloat16 would lose the difference of neighbouring logits.
        with torch.autocast(values.device.type, enabled=False):
            for layer, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
                values = functional.softplus(matrix) @ values + bias
                if layer < len(self.factors):
                    values = values + self.factors[layer].tanh() * values.tanh()
        return values

    def likelihood(self, values: Tensor) -> Tensor:
        """Probability of the unit interval around values (n, C, h, w), at least LIKELIHOOD_FLOOR.

        The values are z_hat, or z with noise in its place; of the same shape.
        """
        channels = values.transpose(0, 1)
        flat = channels.reshape(channels.shape[0], 1, -1).to(self.quantiles.dtype)
        lower, upper = self.logits(flat - 0.5), self.logits(flat + 0.5)
        # On the negative side of the sigmoid: near 1 the difference would be rounded away.
        side = torch.where(lower + upper > 0, -1.0, 1.0).to(flat.dtype)
        mass = (torch.sigmoid(side * upper) - torch.sigmoid(side * lower)).abs()
        return lower_bound(mass, LIKELIHOOD_FLOOR).reshape(channels.shape).transpose(0, 1)
