"""Samples of the frozen prior under control of the conditioning latent."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from diffusers import UNet2DConditionModel

from icmbench.codecs.diff_icmh.networks.control import ControlNetwork, predict_noise
from icmbench.codecs.diff_icmh.sampling import (
    SAMPLERS,
    STEPS,
    Predict,
    add_noise,
    sample_ddim,
    sample_ddpm_spaced,
    spaced_schedule,
    unit_noise,
)
from icmbench.codecs.diff_icmh.text import Conditioned
from icmbench.core.errors import ConfigError

Networks = tuple[UNet2DConditionModel, ControlNetwork | None]


class ControlledPrior:
    """The prior with the control network of one rate; half-precision copies are made on demand."""

    def __init__(
        self, prior: Conditioned, control: ControlNetwork, clip: float | None, device: str
    ) -> None:
        """Both networks lie on `device`; `clip`: of a predicted latent, in the prior's scale."""
        self._prior, self._control = prior, control
        self._clip, self._device = clip, device
        self._copies: Networks | None = None

    def sample(
        self,
        c: torch.Tensor,
        tags: Sequence[tuple[int, ...]],
        *,
        sampler: str,
        steps: int,
        guidance: float,
        seeds: Sequence[int],
        start: int = STEPS - 1,
        controlled: bool = True,
        dtype: str = "float32",
    ) -> torch.Tensor:
        """Sample latents from the prior under control of c, float32 (n, C, h, w).

        Args:
            c: conditioning latents, (n, C, h, w), in the autoencoder's scale, as the samples.
            tags: of every image.
            guidance: classifier-free guidance scale. 1 evaluates the network with the tags alone,
                anything else with and without them as one pair (Ho and Salimans 2021).
            seeds: of every image's noise, which is sampled on the CPU.
            start: timestep where sampling begins: 999 from noise alone, as published, lower from c
                with the noise of that timestep (Meng et al. 2022).
            controlled: False: without the control network.
            dtype: number type of both networks. The sampler itself computes in float32.
        """
        schedule = spaced_schedule(steps, start)
        c = self._prior.scale.enter(c)
        networks = self._networks(getattr(torch, dtype))
        predict = self._noise_predictor(
            c, tags, guidance, networks if controlled else (networks[0], None)
        )
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]

        def noise() -> torch.Tensor:
            shape = (1, *c.shape[1:])
            return torch.cat([unit_noise(shape, each) for each in generators]).to(self._device)

        x_t = noise()
        if start < STEPS - 1:
            x_t = add_noise(c, x_t, torch.full((len(c),), start, device=self._device))
        if sampler == "ddim":
            drawn = sample_ddim(predict, x_t, schedule, clip=self._clip)
        elif sampler == "ddpm-spaced":
            drawn = sample_ddpm_spaced(predict, x_t, schedule, noise, clip=self._clip)
        else:
            raise ConfigError(f"sampler={sampler}: expected one of {', '.join(SAMPLERS)}")
        return self._prior.scale.leave(drawn)

    def _networks(self, dtype: torch.dtype) -> Networks:
        """The denoising and the control network in a number type; copies of one are kept."""
        if dtype == torch.float32:
            return self._prior.unet, self._control
        if self._copies is None or self._copies[0].dtype != dtype:
            self._copies = None  # its memory is free before the next ones are made
            unet, control = copy.deepcopy((self._prior.unet, self._control))
            self._copies = unet.to(dtype), control.to(dtype)
        return self._copies

    def _noise_predictor(
        self,
        c: torch.Tensor,
        tags: Sequence[tuple[int, ...]],
        guidance: float,
        networks: Networks,
    ) -> Predict:
        """Build the noise prediction of a batch under classifier-free guidance.

        Args:
            networks: the denoising network, and the control network or None.
        """
        single = guidance == 1 or not any(tags)  # without tags both of a pair would be equal
        sets = [*tags] if single else [*tags, *[()] * len(c)]
        unet, control = networks
        context = self._prior.embedder(sets).to(unet.dtype)
        repeats = len(sets) // len(c)
        repeated = c.repeat(repeats, 1, 1, 1).to(unet.dtype)

        def predict(x_t: torch.Tensor, timestep: int) -> torch.Tensor:
            batch = x_t.repeat(repeats, 1, 1, 1).contiguous(memory_format=torch.channels_last)
            timesteps = torch.full((len(sets),), timestep, device=self._device)
            batch = batch.to(unet.dtype)
            eps = predict_noise(unet, control, batch, repeated, timesteps, context).float()
            if single:
                return eps
            eps_cond, eps_uncond = eps.chunk(2)
            return eps_uncond + guidance * (eps_cond - eps_uncond)

        return predict
