"""Contrastive training of g: patches of one pseudo-label are positives, per level (DESIGN 5c).

The loss is the supervised contrastive loss of Khosla et al. (2020). A patch is cut from the latent
of its image with the margin of g, shifted by at most one cell, so that its embedding is the same as
in the whole image. There is no flip augmentation: a flipped latent is not the latent of a flipped
image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.codecs.mpd.model_folder import AUTOENCODER, part_file
from icmbench.codecs.mpd.networks.features import (
    FeatureNetwork,
    Features,
    FeatureSettings,
    build_features,
)
from icmbench.codecs.mpd.training.places import (
    GROUP,
    SHIFT,
    Ints,
    cut,
    draw_batch,
    make_clusters,
    make_places,
    pad,
)
from icmbench.core.errors import ConfigError, DatasetError, ModelError
from icmbench.core.files import sha256_file
from icmbench.core.progress import progress
from icmbench.models.latent import LIMIT, SCALE
from icmbench.models.latent_autoencoder import LatentAutoencoder, load_autoencoder
from icmbench.models.norms import freeze_norms
from icmbench.models.tensors import load_built, rounded, state_digest
from icmbench.training.data import TrainingData
from icmbench.training.lazy import ArrayFile, Lazy
from icmbench.training.loop import Losses, Schedule, Session, forward_pass, train

if TYPE_CHECKING:  # it loads what clusters descriptors
    from icmbench.codecs.mpd.training.pseudo_labels import PseudoLabels


@dataclass(frozen=True)
class Contrast:
    """Temperature and level weights of the contrastive loss.

    Attributes:
        temperature: tau of the loss.
        weights: of the levels, fine texture to coarse semantics; their sum does not matter.

    Raises ConfigError for a temperature that is not positive and weights that are not positive or
    0, or 0 altogether.
    """

    temperature: float = 0.05
    weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ConfigError(f"temperature is {self.temperature}: not a positive number")
        if not all(0 <= weight < math.inf for weight in self.weights) or not any(self.weights):
            raise ConfigError(f"weights of the levels are {self.weights}: not 0 or more, or all 0")


def contrastive_loss(vectors: torch.Tensor, labels: torch.Tensor, tau: float) -> torch.Tensor:
    """Supervised-contrastive loss L_out (Khosla et al. 2020, equation 2), a scalar.

        mean over i of  -1/|P(i)| sum over p in P(i) of
                        log( exp(v_i v_p / tau) / sum over a != i of exp(v_i v_a / tau) )

    P(i) are the positives of i: all other vectors with its label. The paper sums over i; here it is
    the mean over all i with a positive, so that batches are comparable. The loss of a batch without
    positives is 0.

    Args:
        vectors: unit vectors (n, D).
        labels: integers (n,).
    """
    own = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    positive = (labels[:, None] == labels[None]) & ~own
    count = positive.sum(1)
    if not count.any():
        return vectors.sum() * 0
    similar = (vectors @ vectors.T / tau).masked_fill(own, float("-inf"))
    log_share = similar - similar.logsumexp(1, keepdim=True)
    sums = torch.where(positive, log_share, 0.0).sum(1)
    anchors = count > 0
    return -(sums[anchors] / count[anchors]).mean()


def train_features(
    model_folder: Path,
    schedule: Schedule,
    data: TrainingData,
    labels: PseudoLabels,
    session: Session,
    *,
    settings: FeatureSettings | None = None,
    contrast: Contrast | None = None,
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Train g for the autoencoder of a folder; returns its weights and metadata.

    The weights are rounded to what their file holds, since the principal components and the scale
    of the points are those of the rounded network.

    Args:
        session: its start is a file, whose network is kept; without, weights are of the seed.
        settings: where there is no start; their latent and levels follow from the data.

    Raises ModelError where the start is of another latent or number of levels, DatasetError where
    the labels are not of these training data or too few to draw batches from.
    """
    file = part_file(model_folder, "autoencoder")
    model, autoencoder = load_autoencoder(file), sha256_file(file)
    places = make_places(labels, data)
    contrast = contrast or Contrast(weights=(1.0,) * len(places.labels))
    if len(contrast.weights) != len(places.labels):
        levels = f"{len(contrast.weights)} weights, {len(places.labels)} levels"
        raise DatasetError(f"contrastive loss and pseudo-labels: {levels}")
    channels, count = model.channels, len(places.labels)
    start = session.start
    if start is None:
        settings = replace(settings or FeatureSettings(), latent=channels, levels=count)
        network, state = build_features(settings, schedule.seed), None
    else:
        network, settings, _ = load_built(start, FeatureSettings, build_features, channels)
        if settings.levels != count:
            found = f"{settings.levels} levels, the pseudo-labels have {count}"
            raise ModelError(f"{start}: it is of {found}")
        state = network.requires_grad_(True).state_dict()
    digest = state_digest(state)
    latents = training_latents(model, data, session)
    network.to(session.device)
    padded = Lazy(latents, lambda latent: pad(latent, settings.margin))
    clusters = make_clusters(places.labels, schedule.batch)

    def losses(rng: np.random.Generator) -> Losses:
        chosen = draw_batch(clusters, rng, schedule.batch)
        crops = cut(padded, places, chosen, settings.margin, rng).to(session.device)
        with forward_pass(schedule, session.device):
            embedding = network.cells(crops).mean((2, 3))
        return _losses(network, embedding.float(), places.labels[:, chosen], contrast)

    train(
        "features",
        network,
        replace(schedule, freeze_after=0.0) if start is not None else schedule,
        losses,
        session,
        freeze=freeze_norms,
        describe={
            "network": settings.values(),
            "autoencoder": autoencoder,
            "pool": data.digest,
            "labels": places.digest,
            "start": digest,
            "loss": [GROUP, SHIFT, contrast.temperature, *contrast.weights],
        },
    )
    network.load_state_dict(rounded(network.state_dict()))
    about: dict[str, Any] = dict(fit_projection(network.eval(), latents))
    about |= {"network": settings.values(), AUTOENCODER: autoencoder}
    return network.cpu().state_dict(), about


def training_latents(
    model: LatentAutoencoder, data: TrainingData, session: Session
) -> Lazy[NDArray[np.int16]]:
    """The latent of every training image, int16 (h, w, C) each, in a file beside the checkpoint."""
    model.network.to(session.device).to(memory_format=torch.channels_last)
    latents = ArrayFile(session.checkpoint.parent)
    for image in progress(data.images, desc="latents", unit="image"):
        latents.append(model.latent(image))
    return latents.arrays()


def _losses(
    network: FeatureNetwork, embedding: torch.Tensor, labels: Ints, contrast: Contrast
) -> Losses:
    """`loss`, the weighted mean over the levels, and `level_0` and so on."""
    each = [
        contrastive_loss(vectors, torch.from_numpy(level).to(vectors.device), contrast.temperature)
        for vectors, level in zip(network.project(embedding), labels, strict=True)
    ]
    weighted = [weight * loss for weight, loss in zip(contrast.weights, each, strict=True)]
    loss = torch.stack(weighted).sum() / sum(contrast.weights)
    return {"loss": loss, **{f"level_{index}": loss for index, loss in enumerate(each)}}


def fit_projection(
    network: FeatureNetwork, latents: Sequence[NDArray[np.int16]]
) -> dict[str, float | list[float]]:
    """Fit the PCA of the embedding over all cells and store it in the network.

    Returns:
        `scale`: factor of the points that gives them the variance of the latent's channels, or the
        largest factor for which all points of the training data fit into 16 bits.
        `variance`: resulting variance relative to that of the channels; 1 unless limited.
        `explained`: share of the embedding's variance per coordinate.

    Raises ModelError where the embedding is constant: the network was not trained.
    """
    features = Features(network, 1.0)
    width = network.mean.numel()

    def cells(latent: NDArray[np.int16]) -> NDArray[np.float64]:
        return features.embedding(latent).reshape(-1, width).astype(np.float64)

    count, total, squares = 0, np.zeros(width), np.zeros((width, width))
    for latent in latents:
        values = cells(latent)
        count += len(values)
        total += values.sum(0)
        squares += values.T @ values
    mean = total / count
    covariance = squares / count - np.outer(mean, mean)
    _, vectors = np.linalg.eigh(covariance)
    leading = vectors.T[::-1][: len(network.components)]
    peaks = np.take_along_axis(leading, np.abs(leading).argmax(1)[:, None], axis=1)
    found = {"mean": mean, "components": leading * np.sign(peaks)}
    for name, tensor in rounded({k: torch.from_numpy(v) for k, v in found.items()}).items():
        getattr(network, name).copy_(tensor)
    components = network.components.double().cpu().numpy()
    variances = np.einsum("de,ef,df->d", components, covariance, components)
    if not variances.sum() > 1e-6:
        raise ModelError(f"embedding collapsed: its variance is {variances.sum()}")
    middle = network.mean.double().cpu().numpy()
    # A second pass: the cells of large training data do not fit into memory.
    peak = max(float(np.abs((cells(latent) - middle) @ components.T).max()) for latent in latents)
    channels = latents[0].shape[2]
    wanted = SCALE * float(np.sqrt(channels / variances.sum()))
    scale = min(wanted, (LIMIT - 1) / peak)
    explained = variances / np.trace(covariance)
    return {
        "scale": scale,
        "variance": (scale / wanted) ** 2,
        "explained": [float(f"{share:.4g}") for share in explained],
    }
