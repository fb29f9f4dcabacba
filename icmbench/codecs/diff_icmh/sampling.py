"""The diffusion process of latents: its schedule, training examples, and two samplers.

The schedule is Stable Diffusion's: 1000 steps, betas linear in their square root. Samplers use
evenly spaced steps of it. Both take the noise prediction as a function, so guidance, control and
text are not their concern; noise comes from a generator on the CPU, one per image, so that a
picture does not depend on what else is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.core.errors import ConfigError

STEPS: Final = 1000
SAMPLERS: Final = ("ddim", "ddpm-spaced")
FEWEST: Final = 2  # sampling steps: the first and the last of the schedule

Floats = NDArray[np.float64]
Predict = Callable[[torch.Tensor, int], torch.Tensor]


def alphas_cumprod() -> Floats:
    """The share of the latent's variance that is left at every step, float64 (1000)."""
    betas = np.linspace(np.sqrt(0.00085), np.sqrt(0.012), STEPS, dtype=np.float64) ** 2
    kept: Floats = np.cumprod(1 - betas, dtype=np.float64)
    return kept


def add_noise(latent: torch.Tensor, noise: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """x_t of latents (n, C, h, w) and unit noise at the steps t, int (n,)."""
    kept = torch.from_numpy(alphas_cumprod()).to(latent.device)[level].to(latent.dtype)
    kept = kept[:, None, None, None]
    return kept.sqrt() * latent + (1 - kept).sqrt() * noise


@dataclass(frozen=True)
class Spaced:
    """A schedule of S of the steps, ascending; every array is float64 (S).

    Attributes:
        used: the steps of the full schedule, which the network is told.
        kept, before: shares of the latent's variance at a step and at the one that follows it
            when sampling (1 after the last).
        towards, stay: weights of the predicted latent and of x in the posterior mean.
        variance: of the posterior (Ho et al. 2020, eq. 7; the smaller choice).
    """

    used: NDArray[np.int64]
    kept: Floats
    before: Floats
    towards: Floats
    stay: Floats
    variance: Floats


def spaced(steps: int, start: int = STEPS - 1) -> Spaced:
    """The spaced schedule of a number of sampling steps, from 0 to `start` of the full one.

    Raises ConfigError outside 2 to 1000 steps, and where `start` has not as many below it.
    """
    if not FEWEST <= steps <= STEPS:
        raise ConfigError(f"steps={steps}: sampling takes {FEWEST} to {STEPS} steps")
    if not steps - 1 <= start < STEPS:
        raise ConfigError(f"start={start}: {steps} steps need {steps - 1} to {STEPS - 1}")
    stride = start / (steps - 1)
    place, used = 0.0, []
    for _ in range(steps):  # added up, not multiplied: as the published models were sampled
        used.append(round(place))
        place += stride
    kept = alphas_cumprod()[used]
    before = np.append(1.0, kept[:-1])
    beta = 1 - kept / before
    return Spaced(
        np.array(used),
        kept,
        before,
        beta * np.sqrt(before) / (1 - kept),
        (1 - before) * np.sqrt(1 - beta) / (1 - kept),
        beta * (1 - before) / (1 - kept),
    )


def draw(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Unit noise from a CPU generator, float32."""
    return torch.randn(shape, generator=generator, dtype=torch.float32)


def sample(
    predict: Predict,
    noisy: torch.Tensor,
    steps: int,
    sampler: str,
    noise: Callable[[], torch.Tensor],
    *,
    start: int = STEPS - 1,
    clip: float | None = None,
) -> torch.Tensor:
    """Walk from noise to a latent.

    Args:
        predict: the noise in x, given x and the step of the full schedule.
        noisy: x at the step `start`, (n, C, h, w): unit noise at the last one.
        sampler: `ddpm-spaced` draws from the posterior of every step (Ho et al. 2020, algorithm 2,
            on the spaced schedule; its last step adds nothing); `ddim` is deterministic
            (Song et al. 2021, eq. 12 with sigma 0).
        noise: fresh unit noise of the same shape; asked for by `ddpm-spaced`, once a step.
        start: step of the full schedule where the walk begins.
        clip: the largest magnitude of a predicted latent (static thresholding, Saharia et al. 2022,
            section 2.3). Where nearly all is noise an error of the noise is one of the latent
            fifteen times as large. None: no limit, as published.
    """
    if sampler not in SAMPLERS:
        raise ConfigError(f"sampler={sampler}: expected one of {', '.join(SAMPLERS)}")
    plan = spaced(steps, start)
    x = noisy
    for k in range(steps - 1, -1, -1):
        eps = predict(x, int(plan.used[k]))
        kept, before = float(plan.kept[k]), float(plan.before[k])
        estimate = np.sqrt(1 / kept) * x - np.sqrt(1 / kept - 1) * eps
        if clip is not None:
            estimate = estimate.clamp(-clip, clip)
            eps = (x - np.sqrt(kept) * estimate) / np.sqrt(1 - kept)
        if sampler == "ddim":
            x = np.sqrt(before) * estimate + np.sqrt(1 - before) * eps
        else:
            x = float(plan.towards[k]) * estimate + float(plan.stay[k]) * x
            fresh = noise()
            x = x + float(np.sqrt(plan.variance[k])) * (fresh if k else 0 * fresh)
    return x
