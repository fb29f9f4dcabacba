"""Diffusion process of the latents: noise schedule, forward process, and the samplers of decoding.

The schedule is Stable Diffusion's: 1000 timesteps, betas linear in their square root. Symbols are
those of diffusers. A sampler gets the noise prediction as a function, so classifier-free guidance,
control and text stay outside. Noise comes from one CPU generator per image, so a reconstruction
does not depend on the batch it is computed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.core.errors import ConfigError

STEPS: Final = 1000  # timesteps of the full schedule
SAMPLERS: Final = ("ddim", "ddpm-spaced")
# Output of a denoising network, by the names of diffusers' schedulers: the noise, or the velocity.
PREDICTIONS: Final = ("epsilon", "v_prediction")
MIN_STEPS: Final = 2  # of sampling: the first and the last timestep of the schedule

# The published evaluation: 50 spaced steps, guidance scale 5.0 (README of the official code).
PUBLISHED_DECODING: Final[Mapping[str, Any]] = {
    "sampler": "ddpm-spaced",
    "steps": 50,
    "guidance": 5.0,
    "start": 999,
    "clip": None,
}

Floats = NDArray[np.float64]
Predict = Callable[[torch.Tensor, int], torch.Tensor]  # noise in x_t, of x_t and timestep


def alphas_cumprod() -> Floats:
    """Compute the share of the latent's variance that is left at every timestep, float64 (1000)."""
    betas = np.linspace(np.sqrt(0.00085), np.sqrt(0.012), STEPS, dtype=np.float64) ** 2
    cumulative: Floats = np.cumprod(1 - betas, dtype=np.float64)
    return cumulative


def add_noise(latent: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
    """Compute x_t of latents (n, C, h, w) and unit noise at the timesteps, int (n,)."""
    alpha_prod_t = _alpha_prod_t(latent, timesteps)
    return alpha_prod_t.sqrt() * latent + (1 - alpha_prod_t).sqrt() * noise


def noise_from_start(noise: torch.Tensor, error: torch.Tensor, start: int) -> torch.Tensor:
    """The noise that a sampling from c meets: unit noise and the error of c, (n, C, h, w) each.

    x_t at `start` is c with unit noise. About the latent that c approximates it has, besides, the
    error of c, and DDIM, which follows straight lines in the ratio of noise and signal (Song et al.
    2021, eq. 14), scales both down alike: `add_noise` of the latent with the sum found here is the
    x_t of every lower timestep, for a network that predicts this sum.
    """
    alpha_prod_t = float(alphas_cumprod()[start])
    return noise + error * float(np.sqrt(alpha_prod_t / (1 - alpha_prod_t)))


def noise_of_velocity(
    x_t: torch.Tensor, velocity: torch.Tensor, timesteps: torch.Tensor
) -> torch.Tensor:
    """The noise in x_t of a predicted velocity (Salimans and Ho 2022, appendix D)."""
    # In float32: of bfloat16 the first alphas round to 1, and the noise in x_t would be lost.
    alpha_prod_t = _alpha_prod_t(velocity.float(), timesteps)
    return alpha_prod_t.sqrt() * velocity.float() + (1 - alpha_prod_t).sqrt() * x_t.float()


def latent_of_noise(x_t: torch.Tensor, eps: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
    """Compute the latent in x_t of predicted noise: the inverse of `add_noise`."""
    alpha_prod_t = _alpha_prod_t(x_t, timesteps)
    return (x_t - (1 - alpha_prod_t).sqrt() * eps) / alpha_prod_t.sqrt()


def noise_of_latent(
    x_t: torch.Tensor, latent: torch.Tensor, timesteps: torch.Tensor
) -> torch.Tensor:
    """Compute the noise in x_t of a predicted latent."""
    alpha_prod_t = _alpha_prod_t(x_t, timesteps)
    return (x_t - alpha_prod_t.sqrt() * latent) / (1 - alpha_prod_t).sqrt()


def _alpha_prod_t(like: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
    """`alphas_cumprod` at the timesteps of latents (n, C, h, w), (n, 1, 1, 1)."""
    found = torch.from_numpy(alphas_cumprod()).to(like.device)[timesteps].to(like.dtype)
    return found[:, None, None, None]


@dataclass(frozen=True)
class SpacedSchedule:
    """S timesteps of the full schedule, ascending; every array is float64 (S).

    Attributes:
        timesteps: of the full schedule: the input of the network.
        alpha_prod_t: `alphas_cumprod` at a timestep.
        alpha_prod_t_prev: the same at the timestep that follows it in sampling; 1 after the last.
        pred_original_sample_coeff, current_sample_coeff: weights of the predicted latent and of
            x_t in the posterior mean (Ho et al. 2020, eq. 7).
        variance: of the posterior; the smaller of the two choices of Ho et al., section 3.2.
    """

    timesteps: NDArray[np.int64]
    alpha_prod_t: Floats
    alpha_prod_t_prev: Floats
    pred_original_sample_coeff: Floats
    current_sample_coeff: Floats
    variance: Floats


def spaced_schedule(steps: int, start: int = STEPS - 1) -> SpacedSchedule:
    """Space `steps` sampling steps evenly from timestep 0 to timestep `start`.

    Raises ConfigError outside 2 to 1000 steps, and where `start` has fewer timesteps below it.
    """
    if not MIN_STEPS <= steps <= STEPS:
        raise ConfigError(f"steps={steps}: sampling takes {MIN_STEPS} to {STEPS} steps")
    if not steps - 1 <= start < STEPS:
        raise ConfigError(f"start={start}: {steps} steps need {steps - 1} to {STEPS - 1}")
    stride = start / (steps - 1)
    position, timesteps = 0.0, []
    for _ in range(steps):  # added up, not multiplied: as the published models were sampled
        timesteps.append(round(position))
        position += stride
    alpha_prod_t = alphas_cumprod()[timesteps]
    alpha_prod_t_prev = np.append(1.0, alpha_prod_t[:-1])
    beta = 1 - alpha_prod_t / alpha_prod_t_prev
    return SpacedSchedule(
        np.array(timesteps),
        alpha_prod_t,
        alpha_prod_t_prev,
        beta * np.sqrt(alpha_prod_t_prev) / (1 - alpha_prod_t),
        (1 - alpha_prod_t_prev) * np.sqrt(1 - beta) / (1 - alpha_prod_t),
        beta * (1 - alpha_prod_t_prev) / (1 - alpha_prod_t),
    )


def unit_noise(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Sample unit noise from a CPU generator, float32."""
    return torch.randn(shape, generator=generator, dtype=torch.float32)


def sample_ddim(
    predict: Predict, x_t: torch.Tensor, schedule: SpacedSchedule, *, clip: float | None = None
) -> torch.Tensor:
    """Sample a latent by DDIM (Song et al. 2021, eq. 12) with eta = 0: deterministic.

    Args:
        predict: noise in x_t, from x_t and a timestep of the full schedule.
        x_t: (n, C, h, w) at the schedule's last timestep; unit noise where that is 999.
        clip: maximum magnitude of a predicted latent (static thresholding, Saharia et al. 2022,
            section 2.3): at high noise an error of the predicted noise is one of the latent fifteen
            times as large. None: no limit, as published.
    """
    for k in range(len(schedule.timesteps) - 1, -1, -1):
        eps = predict(x_t, int(schedule.timesteps[k]))
        pred_original_sample, eps = _predict_original(x_t, eps, schedule, k, clip)
        alpha_prod_t_prev = float(schedule.alpha_prod_t_prev[k])
        direction = np.sqrt(1 - alpha_prod_t_prev) * eps
        x_t = np.sqrt(alpha_prod_t_prev) * pred_original_sample + direction
    return x_t


def sample_ddpm_spaced(
    predict: Predict,
    x_t: torch.Tensor,
    schedule: SpacedSchedule,
    noise: Callable[[], torch.Tensor],
    *,
    clip: float | None = None,
) -> torch.Tensor:
    """Sample a latent by DDPM (Ho et al. 2020, algorithm 2) on the spaced schedule.

    Args:
        noise: fresh unit noise of the shape of x_t, called once per step; that of the last step
            is discarded, as in the published code.

    The other arguments are those of `sample_ddim`.
    """
    for k in range(len(schedule.timesteps) - 1, -1, -1):
        eps = predict(x_t, int(schedule.timesteps[k]))
        pred_original_sample, _ = _predict_original(x_t, eps, schedule, k, clip)
        mean = float(schedule.pred_original_sample_coeff[k]) * pred_original_sample
        x_t = mean + float(schedule.current_sample_coeff[k]) * x_t
        variance_noise = noise()
        if k:
            x_t = x_t + float(np.sqrt(schedule.variance[k])) * variance_noise
    return x_t


def _predict_original(
    x_t: torch.Tensor, eps: torch.Tensor, schedule: SpacedSchedule, k: int, clip: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute `pred_original_sample`, clipped, and the noise that x_t then holds."""
    alpha_prod_t = float(schedule.alpha_prod_t[k])
    pred_original_sample = np.sqrt(1 / alpha_prod_t) * x_t - np.sqrt(1 / alpha_prod_t - 1) * eps
    if clip is not None:
        pred_original_sample = pred_original_sample.clamp(-clip, clip)
        eps = (x_t - np.sqrt(alpha_prod_t) * pred_original_sample) / np.sqrt(1 - alpha_prod_t)
    return pred_original_sample, eps
