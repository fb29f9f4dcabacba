"""Training of the bundled prior by noise prediction, and of its tagger (DESIGN 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from icmbench.codecs.diff_icmh.latent_scale import KEY, LatentScale
from icmbench.codecs.diff_icmh.networks.control import predict_noise
from icmbench.codecs.diff_icmh.networks.prior import (
    Prior,
    PriorSettings,
    read_prediction,
    read_settings,
)
from icmbench.codecs.diff_icmh.networks.tagger import Tagger, TaggerSettings, build_tagger
from icmbench.codecs.diff_icmh.sampling import PREDICTIONS, STEPS, add_noise
from icmbench.codecs.diff_icmh.training.latents import (
    AugmentedLatent,
    augmented_latents,
    latent_crops,
    standardised,
)
from icmbench.codecs.diff_icmh.training.losses import prediction_loss
from icmbench.codecs.mpd.model_folder import part_file
from icmbench.core.errors import ModelError
from icmbench.core.files import sha256_file
from icmbench.models.latent_autoencoder import LatentAutoencoder, load_autoencoder
from icmbench.models.tensors import fill_network, load_network, save_network, state_digest
from icmbench.training.data import TrainingData
from icmbench.training.loop import Losses, Schedule, Session, forward_pass, train
from icmbench.training.provenance import training_provenance
from icmbench.training.source_tags import TagSet, tag_training_data

CELLS: Final = 32  # of a training crop's side, where the training images are that large
UNSIZED: Final = PriorSettings()
DROPOUT: Final = 0.1  # conditioning dropout: share of the images whose tags are dropped


def make_prior(
    path: Path,
    autoencoder: Path,
    schedule: Schedule,
    data: TrainingData,
    session: Session,
    *,
    source_tags: Mapping[str, Sequence[str]],
    cells: int = CELLS,
    settings: PriorSettings = UNSIZED,
    prediction: str = PREDICTIONS[0],
) -> None:
    """Train the denoising network and its embedder on latents of the training data, and save them.

    Args:
        autoencoder: folder of the autoencoder whose latents they are.
        session: its start is a file, whose network and vocabulary are kept.
        source_tags: tags that hold for all images of a source.
        settings: of a prior from scratch; its latent is the autoencoder's, and an empty vocabulary
            stands for all tags of the training data.
        prediction: output of a network from scratch, one of `PREDICTIONS`.

    Raises ModelError where the start is of a latent of other channels.
    """
    model = load_autoencoder(part_file(autoencoder, "autoencoder"))
    tags = tag_training_data(data, source_tags)
    settings = replace(
        settings,
        unet=replace(settings.unet, latent=model.channels),
        vocabulary=settings.vocabulary or tags.vocabulary,
    )
    start = session.start
    if start is not None:
        state, metadata = load_network(start)
        settings = read_settings(start, metadata)
        if settings.unet.latent != model.channels:
            text = f"{settings.unet.latent} channels, the autoencoder's has {model.channels}"
            raise ModelError(f"{start}: of a latent of {text}: set training.start to scratch")
    prior = Prior(settings, schedule.seed)
    if start is not None:
        fill_network(prior, state, f"start of the prior's training, {start}")
        prediction = read_prediction(start, metadata)
        prior.scale = LatentScale.read(start, metadata, model.channels)
    prior.unet.register_to_config(prediction_type=prediction)
    known = tag_ids(tags, settings.vocabulary)
    latents = augmented_latents(model, data, cells, session)
    if start is None:
        prior.scale = LatentScale.measured(standardised(each.latent) for each in latents)
    about: dict[str, Any] = {"prediction": prediction, "cells": cells, "pool": data.digest}
    about["autoencoder"] = sha256_file(model.path)
    train_prior(prior, latents, schedule, known, session, cells=cells, describe=about)
    provenance = training_provenance(schedule, data, cells * 8, start)
    provenance["autoencoder"] = sha256_file(part_file(autoencoder, "autoencoder"))
    about = {"network": settings.values(), KEY: prior.scale.values, "prediction": prediction}
    about["provenance"] = provenance
    save_network(path, prior.state_dict(), about)


def tag_ids(tags: TagSet, vocabulary: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the ids of every image's tags in a vocabulary, ascending; other tags are left out."""
    ids = {name: number for number, name in enumerate(vocabulary)}
    named = [[tags.vocabulary[tag] for tag in found] for found in tags.tags]
    return [tuple(sorted(ids[name] for name in found if name in ids)) for found in named]


def train_prior(
    prior: Prior,
    latents: Sequence[AugmentedLatent],
    schedule: Schedule,
    tags: Sequence[tuple[int, ...]],
    session: Session,
    *,
    cells: int,
    describe: Mapping[str, Any],
) -> None:
    """Train a prior in place: the noise of every step predicted from latent and tags."""
    device = session.device
    prior.to(device).to(memory_format=torch.channels_last)

    def losses(rng: np.random.Generator) -> Losses:
        latent, images = latent_crops(latents, rng, schedule.batch, cells)
        kept = [() if rng.random() < DROPOUT else tags[image] for image in images]
        timesteps = torch.from_numpy(rng.integers(STEPS, size=len(latent)))
        noise = torch.randn(latent.shape)
        latent, noise, timesteps = latent.to(device), noise.to(device), timesteps.to(device)
        latent = prior.scale.enter(latent)
        x_t = add_noise(latent, noise, timesteps).contiguous(memory_format=torch.channels_last)
        with forward_pass(schedule, device):
            context = prior.embedder(kept)
            eps = predict_noise(prior.unet, None, x_t, None, timesteps, context)
        return {"loss": prediction_loss(prior.unet, eps, noise, timesteps)}

    describe = {
        **describe,
        "network": prior.settings.values(),
        KEY: prior.scale.values,
        "tags": [list(found) for found in tags],
        "start": state_digest({k: v.cpu() for k, v in prior.state_dict().items()}),
    }
    train("prior", prior, schedule, losses, session, describe=describe)
    prior.cpu()


def make_tagger(
    path: Path,
    autoencoder: Path,
    schedule: Schedule,
    data: TrainingData,
    session: Session,
    *,
    source_tags: Mapping[str, Sequence[str]],
    vocabulary: Sequence[str] | None = None,
    cells: int = CELLS,
    channels: tuple[int, ...] = TaggerSettings.channels,
) -> None:
    """Train the multi-label tagger on latents of the training data and write its file.

    Args:
        vocabulary: of the prior that the tags are for; None: all tags of the training data.
        channels: of the stages of a tagger from scratch.

    The other arguments are those of `make_prior`. Raises ModelError where the start has another
    vocabulary.
    """
    model = load_autoencoder(part_file(autoencoder, "autoencoder"))
    tags = tag_training_data(data, source_tags)
    settings = TaggerSettings(tuple(vocabulary or tags.vocabulary), model.channels, channels)
    tagger, start = build_tagger(settings, schedule.seed), session.start
    if start is not None:
        state, metadata = load_network(start)
        if metadata.get("network", {}).get("vocabulary") != list(settings.vocabulary):
            raise ModelError(f"{start}: its tags are not those of the prior")
        fill_network(tagger, state, f"start of the tagger's training, {start}")
    train_tagger(tagger, settings, model, schedule, data, tags, session, cells=cells)
    provenance = training_provenance(schedule, data, cells * 8, start)
    provenance["autoencoder"] = sha256_file(part_file(autoencoder, "autoencoder"))
    save_network(
        path, tagger.state_dict(), {"network": settings.values(), "provenance": provenance}
    )


def train_tagger(
    tagger: Tagger,
    settings: TaggerSettings,
    model: LatentAutoencoder,
    schedule: Schedule,
    data: TrainingData,
    tags: TagSet,
    session: Session,
    *,
    cells: int,
) -> None:
    """Train a tagger in place, on whole images: a crop may lack objects of the image's tags.

    Tags of which nothing is known for an image do not count in its loss.
    """
    device = session.device
    latents = augmented_latents(model, data, cells, session)
    truth, known = _targets(tags, settings.vocabulary)
    tagger.to(device)

    def losses(rng: np.random.Generator) -> Losses:
        chosen = [latents[int(rng.integers(len(latents)))] for _ in range(schedule.batch)]
        scores = torch.cat([tagger(_whole(each.latent).to(device)) for each in chosen])
        rows = [each.image for each in chosen]
        goal, counts = truth[rows].to(device), known[rows].to(device)
        each = torch.nn.functional.binary_cross_entropy_with_logits(scores, goal, reduction="none")
        right = (((scores > 0) == (goal > 0)) * counts).sum() / counts.sum()
        return {"loss": (each * counts).sum() / counts.sum(), "right": right}

    train(
        "tagger",
        tagger,
        schedule,
        losses,
        session,
        describe={
            "network": settings.values(),
            "autoencoder": sha256_file(model.path),
            "pool": data.digest,
            "tags": [list(found) for found in tags.tags],
            "start": state_digest({k: v.cpu() for k, v in tagger.state_dict().items()}),
        },
    )
    tagger.cpu()


def _targets(tags: TagSet, vocabulary: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels and mask of known labels, float32 (images, tags) of 0 and 1."""
    ids = {name: number for number, name in enumerate(vocabulary)}
    truth = torch.zeros(len(tags.tags), len(vocabulary))
    known = torch.zeros_like(truth)
    for table, of_images in ((truth, tags.tags), (known, tags.known)):
        for row, found in enumerate(of_images):
            for tag in found:
                if (number := ids.get(tags.vocabulary[tag])) is not None:
                    table[row, number] = 1
    return truth, known


def _whole(latent: np.ndarray[Any, Any]) -> torch.Tensor:
    from icmbench.models.latent import SCALE

    values = latent.astype(np.float32).transpose(2, 0, 1)[None] / np.float32(SCALE)
    return torch.from_numpy(np.ascontiguousarray(values))
