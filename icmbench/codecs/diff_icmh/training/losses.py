"""Losses of the codec and its control network (Diff-ICMH, section 3).

Four terms: the error of the predicted noise under control, the squared error of the conditioning
latent c, the rate, and the semantic consistency of c (SC).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from icmbench.codecs.diff_icmh.networks.control import (
    ControlNetwork,
    middle_features,
    predict_noise,
)
from icmbench.codecs.diff_icmh.networks.lfgcm import Lfgcm
from icmbench.codecs.diff_icmh.sampling import (
    PREDICTIONS,
    STEPS,
    add_noise,
    alphas_cumprod,
    noise_from_start,
)
from icmbench.codecs.diff_icmh.text import Conditioned, load_conditioned
from icmbench.codecs.mpd.model_folder import part_file
from icmbench.core.errors import ConfigError, ModelError
from icmbench.core.files import sha256_file
from icmbench.models.latent_autoencoder import LatentAutoencoder, load_autoencoder
from icmbench.training.loop import Losses
from icmbench.training.shares import Share


@dataclass(frozen=True)
class SampledWeights:
    """Decoding and loss weights of a training through the sampler (`sampled`).

    Attributes:
        steps: of DDIM.
        error: weight of the latent's squared error.
        structure: weight of 1 - SSIM.
        features: weight of the features' distance; 0: EfficientNet-Lite0 is not needed.
    """

    steps: int
    error: float = 1.0
    structure: float = 1.0
    features: float = 1.0


@dataclass(frozen=True)
class LossWeights:
    """Weights of the loss terms.

    Attributes:
        lambda_noise: of the squared error of the predicted noise; 0: the prior is not evaluated for
            it, and the control network is not trained.
        lambda_c: of the squared error of the conditioning latent c.
        lambda_rate: of the bits per pixel, from the lowest rate to the highest: falling.
        lambda_sem: of SC, where the codec is trained; 0: without.
        tags: whether the networks are conditioned on the tags (TGM).
        timesteps: noise levels per image, which share one evaluation of the codec.
        freeze_codec: train the control network alone.
        levels: noise levels that are trained, the lowest ones. Of fewer than all, decoding starts
            at the highest from c, whose error counts as noise (`noise_from_start`).
        sampled: of a training of the control network through the sampler, in place of all terms
            above; None: by the noise.
    """

    lambda_noise: float = 1.0
    lambda_c: float = 1.0
    lambda_rate: tuple[float, ...] = (32.0, 16.0, 8.0, 2.0)
    lambda_sem: float = 2.0
    tags: bool = True
    timesteps: int = 1
    freeze_codec: bool = False
    levels: int = STEPS
    sampled: SampledWeights | None = None

    def __post_init__(self) -> None:
        rates = list(self.lambda_rate)
        if not rates or rates != sorted(rates, reverse=True):
            raise ConfigError(f"rate weights {rates}: they fall from low rate to high")
        if self.sampled and not (self.freeze_codec and self.levels < STEPS):
            text = f"needs freeze_codec, and levels below {STEPS}: decoding starts from c"
            raise ConfigError(f"a training through the sampler {text}")

    def metadata(self) -> dict[str, Any]:
        """Return the weights by the names that weight files keep."""
        return {
            "noise": self.lambda_noise,
            "guide": self.lambda_c,
            "rate": self.lambda_rate,
            "semantic": self.lambda_sem,
            "tags": self.tags,
            "draws": self.timesteps,
            "steer_only": self.freeze_codec,
            "levels": self.levels,
            **({"sampled": asdict(self.sampled)} if self.sampled else {}),
        }


@dataclass(frozen=True)
class FrozenNetworks:
    """Autoencoder and prior, which are frozen while the codec is trained; `digest` by file."""

    model: LatentAutoencoder
    prior: Conditioned
    digest: Mapping[str, str]


def load_frozen(autoencoder: Path, prior: Path, device: str) -> FrozenNetworks:
    """Load both onto the device; `prior`: its file, in a folder with the text encoder it may have.

    Raises ModelError where the prior is of a latent of other channels.
    """
    file = part_file(autoencoder, "autoencoder")
    model = load_autoencoder(file)
    loaded = load_conditioned(prior.parent)
    if (latent := loaded.settings.latent) != model.channels:
        text = f"of a latent of {latent} channels, the autoencoder {file} has {model.channels}"
        raise ModelError(f"{prior}: it is {text}: train the prior from scratch, or import its own")
    model.network.to(device)
    loaded.unet.to(device)
    loaded.embedder.to(device)
    digest = {"autoencoder": sha256_file(file), "prior": sha256_file(prior)}
    return FrozenNetworks(model, loaded, digest)


class CodecNetworks(torch.nn.Module):
    """The codec and its control network, trained together."""

    def __init__(self, lfgcm: Lfgcm, control: ControlNetwork) -> None:
        super().__init__()
        self.lfgcm = lfgcm
        self.control = control


def codec_losses(
    network: CodecNetworks,
    frozen: FrozenNetworks,
    pixels: torch.Tensor,
    tags: Sequence[Sequence[int]],
    timesteps: torch.Tensor,
    point: int,
    weights: LossWeights,
    share: Share | None = None,
) -> Losses:
    """Compute the loss terms of a batch of images (n, 3, H, W) in [-1, 1].

    Args:
        tags: of every image, the conditioning of the prior.
        timesteps: int (n weights.timesteps,), those of an image side by side.
        point: index of the rate.
        share: of the batch, where these images are a part of one.
    """
    share = share or Share(len(pixels), 0, len(pixels))
    latent = standardised_latent(frozen.model, pixels)
    rate = point if network.lfgcm.settings.rates else None
    with torch.set_grad_enabled(not weights.freeze_codec):
        coded = network.lfgcm((pixels + 1) / 2, latent, rate, share.uniform)
    c, context = coded.c.float(), frozen.prior.embedder(tags)
    terms = {
        "guide": torch.nn.functional.mse_loss(c, latent),
        "bits": coded.bits.mean() / (pixels.shape[2] * pixels.shape[3]),
    }
    loss = weights.lambda_c * terms["guide"] + weights.lambda_rate[point] * terms["bits"]
    latent, c = (frozen.prior.scale.enter(each) for each in (latent, c))
    if weights.lambda_noise:
        original, repeated, texts = (
            part.repeat_interleave(weights.timesteps, 0) for part in (latent, c, context)
        )
        draws = weights.timesteps
        noise = torch.randn((share.whole * draws, *original.shape[1:]))
        noise = share.rows(noise, draws).to(latent.device)
        if weights.levels < STEPS:  # decoding starts from c, so its error is a part of the noise
            error = (repeated - original).detach()
            noise = noise_from_start(noise, error, weights.levels - 1)
        x_t = add_noise(original, noise, timesteps)
        eps = predict_noise(
            frozen.prior.unet, network.control, x_t, repeated, timesteps, texts, mixed=False
        )
        terms["noise"] = prediction_loss(frozen.prior.unet, eps, noise, timesteps)
        loss = loss + weights.lambda_noise * terms["noise"]
    if weights.lambda_sem and not weights.freeze_codec:  # the control network has no part in it
        terms["semantic"] = semantic_loss(frozen.prior.unet, c, latent, context)
        loss = loss + weights.lambda_sem * terms["semantic"]
    return {"loss": loss, **terms, "point": torch.tensor(float(point))}


def prediction_loss(
    unet: UNet2DConditionModel, eps: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
) -> torch.Tensor:
    """Squared error of a network's output, of the noise computed from it.

    An error of the velocity is one of the noise times the root of `alphas_cumprod`, by which high
    noise levels would hardly count (Salimans and Ho 2022, section 4).
    """
    error = (eps.float() - noise).square().mean((1, 2, 3))
    if unet.config.get("prediction_type") == PREDICTIONS[1]:
        error = error / torch.from_numpy(alphas_cumprod()).to(error.device)[timesteps].to(error)
    return error.mean()


def semantic_loss(
    unet: UNet2DConditionModel, c: torch.Tensor, latent: torch.Tensor, context: torch.Tensor
) -> torch.Tensor:
    """Compute SC: 1 - cosine of the prior's middle features of c and of the latent (section 3.2).

    At t = 0, without noise, with the same text; the mean over positions.
    """
    zero = torch.zeros(len(latent), dtype=torch.long, device=latent.device)
    with torch.no_grad():
        target = middle_features(unet, latent, zero, context)
    found = middle_features(unet, c, zero, context)
    cosine = torch.nn.functional.cosine_similarity(found.float(), target.float(), dim=1, eps=1e-8)
    return (1 - cosine).mean()


def standardised_latent(model: LatentAutoencoder, pixels: torch.Tensor) -> torch.Tensor:
    """Compute the standardised mean of the posterior, (n, C, h, w), of images in [-1, 1]."""
    mean, std = (
        torch.from_numpy(v).to(pixels.device)[:, None, None] for v in (model.mean, model.std)
    )
    with torch.no_grad():
        posterior = model.network.encode(pixels).latent_dist
        latent: torch.Tensor = (posterior.mode().float() - mean) / std
    return latent


def decoded_image(model: LatentAutoencoder, latent: torch.Tensor) -> torch.Tensor:
    """Decode standardised latents (n, C, h, w) to images in [-1, 1], not clipped, float32."""
    mean, std = (
        torch.from_numpy(v).to(latent.device)[:, None, None] for v in (model.mean, model.std)
    )
    decoded: torch.Tensor = model.network.decode(latent * std + mean).sample
    return decoded.float()
