"""Training of the codec by itself, at all rates, for what decodes c directly (`sampler=none`).

    loss of an image at rate r = (lambda_c D + lambda_rate[r] R) / sqrt(lambda_rate[r])

D is the squared error of the conditioning latent c, R the bits per pixel. Neither prior nor control
network has a part in it. Every image of a batch is coded at a rate of its own. The square root
makes a relative improvement count about alike at all rates: D falls more slowly than its weight.

A decoder turns some errors of a latent into larger errors of the image than others. Towards the end
of the training the image's own error may count, too, which takes about as long again per step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from icmbench.codecs.diff_icmh.networks.lfgcm import STRIDE, Lfgcm, build_lfgcm
from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
from icmbench.codecs.diff_icmh.training.calibration import calibrate, first_crops
from icmbench.codecs.diff_icmh.training.codec_files import DECODING, SMALL, write_lfgcm
from icmbench.codecs.diff_icmh.training.losses import (
    LossWeights,
    decoded_image,
    standardised_latent,
)
from icmbench.codecs.mpd.model_folder import part_file
from icmbench.core.errors import ConfigError
from icmbench.core.files import sha256_file
from icmbench.models.latent_autoencoder import LatentAutoencoder, load_autoencoder
from icmbench.models.tensors import load_built, state_digest
from icmbench.training.data import TrainingData
from icmbench.training.loop import Losses, Schedule, Session, forward_pass, train
from icmbench.training.provenance import training_provenance
from icmbench.training.shares import Share

ImageError = tuple[float, float]  # weight, and the share of the steps after which it counts


def make_codec_alone(
    folder: Path,
    autoencoder: Path,
    schedule: Schedule,
    data: TrainingData,
    session: Session,
    *,
    weights: LossWeights,
    crop: int,
    image: ImageError = (0.0, 0.0),
    settings: LfgcmSettings = SMALL,
    decoding: Mapping[str, Any] = DECODING,
) -> None:
    """Train the codec and write its file and the tables.

    Args:
        folder: gets `codec` and `tables`.
        autoencoder: folder of the autoencoder whose latents c approximates.
        session: its start is a folder whose codec is fine-tuned; its sizes are kept.
        weights: of the two terms; all others are left out.
        image: weight of the decoded image's squared error, and the share of the steps after which
            it counts.
        crop, settings, decoding: as of `make_codec`.

    Raises ConfigError where the crop does not fit and where the codec has other rates.
    """
    if crop % STRIDE:
        raise ConfigError(f"crop {crop}: the codec takes multiples of {STRIDE} pixels")
    file = part_file(autoencoder, "autoencoder")
    model, digest = load_autoencoder(file), sha256_file(file)
    start = session.start and session.start / "codec.safetensors"
    if start is None:
        sizes = replace(settings, out_channels=model.channels, rates=len(weights.lambda_rate))
        lfgcm = build_lfgcm(sizes, schedule.seed)
        calibrate(lfgcm, model, first_crops(lfgcm, data, crop), weights)
        assert lfgcm.adapters is not None, "a codec from scratch has adapters"
        lfgcm.adapters.follow_weights(weights.lambda_rate)
        first = None
    else:
        lfgcm, sizes, _ = load_built(start, LfgcmSettings, build_lfgcm)
        first = state_digest(lfgcm.requires_grad_(True).state_dict())
    if sizes.rates != (count := len(weights.lambda_rate)):
        raise ConfigError(f"{count} rate weights, the codec has {sizes.rates} rates")
    describe = {"network": sizes.values(), "autoencoder": digest, "start": first}
    train_codec_alone(
        lfgcm,
        model,
        schedule,
        data,
        session,
        weights=weights,
        crop=crop,
        image=image,
        describe=describe,
    )
    provenance = training_provenance(schedule, data, crop, start)
    provenance |= {"stage": 1, "alone": True, "autoencoder": digest}
    provenance["weights"] = {"guide": weights.lambda_c, "rate": weights.lambda_rate}
    if image[0]:
        provenance["weights"] |= {"image": image[0], "image_after": image[1]}
    if session.group.writes:
        write_lfgcm(folder, lfgcm, provenance, decoding)


def train_codec_alone(
    lfgcm: Lfgcm,
    model: LatentAutoencoder,
    schedule: Schedule,
    data: TrainingData,
    session: Session,
    *,
    weights: LossWeights,
    crop: int,
    describe: Mapping[str, Any],
    image: ImageError = (0.0, 0.0),
) -> None:
    """Train a codec in place."""
    device = session.device
    model.network.to(device).to(memory_format=torch.channels_last)
    lfgcm.to(device).to(memory_format=torch.channels_last)

    counted = 0.0  # the weight of the image's error

    def count_image(network: torch.nn.Module) -> None:
        nonlocal counted
        counted = image[0]

    def losses(rng: np.random.Generator, share: Share | None = None) -> Losses:
        share = share or Share(schedule.batch, 0, schedule.batch)
        pixels, _ = data.crops_of(rng, share.whole, crop, share)
        drawn = torch.from_numpy(rng.integers(len(weights.lambda_rate), size=share.whole))
        batch = torch.from_numpy(pixels).to(device)
        with forward_pass(schedule, device):
            rates = share.rows(drawn).to(device)
            return alone_losses(lfgcm, model, batch, rates, weights, share, counted)

    train(
        "codec-alone",
        lfgcm,
        replace(schedule, freeze_after=image[1]) if image[0] else schedule,
        losses,
        session,
        describe={
            **describe,
            "weights": [weights.lambda_c, weights.lambda_rate],
            "pool": data.digest,
            "crop": crop,
            **({"image": image} if image[0] else {}),
        },
        freeze=count_image,
        divided=True,
    )
    lfgcm.cpu()


def alone_losses(
    lfgcm: Lfgcm,
    model: LatentAutoencoder,
    pixels: torch.Tensor,
    rates: torch.Tensor,
    weights: LossWeights,
    share: Share,
    image: float = 0.0,
) -> Losses:
    """Compute the loss of a batch of images (n, 3, H, W) in [-1, 1], at `rates`, int (n,).

    `image`: weight of the squared error of the decoded image; 0: it is not decoded.
    """
    latent = standardised_latent(model, pixels)
    coded = lfgcm((pixels + 1) / 2, latent, rates, share.uniform)
    error = (coded.c.float() - latent).square().mean((1, 2, 3))
    bits = coded.bits / (pixels.shape[2] * pixels.shape[3])
    each = torch.tensor(weights.lambda_rate, device=bits.device)[rates]
    wrong = weights.lambda_c * error
    if image:
        decoded = decoded_image(model, coded.c.float())
        wrong = wrong + image * (decoded - pixels).square().mean((1, 2, 3))
    loss = (wrong + each * bits) / each.sqrt()
    return {"loss": loss.mean(), "guide": error.mean(), "bits": bits.mean()}
