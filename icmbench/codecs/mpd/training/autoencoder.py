"""Training of the autoencoder: the evidence lower bound at a stated distortion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray

from icmbench.codecs.mpd.model_folder import part_file
from icmbench.core.errors import ModelError
from icmbench.models.autoencoder import AutoencoderSettings, build_autoencoder
from icmbench.models.latent_autoencoder import load_autoencoder
from icmbench.models.norms import freeze_norms
from icmbench.models.tensors import fill_network, rounded, save_network, state_digest
from icmbench.training.data import TrainingData
from icmbench.training.loop import Losses, Schedule, Session, forward_pass, train
from icmbench.training.losses import picture_losses
from icmbench.training.provenance import training_provenance

if TYPE_CHECKING:
    from icmbench.models.latent_autoencoder import LatentNetwork

# A Gaussian likelihood of this variance ([-1, 1] scale; 24 dB) is what the palette leaves at the
# middle states. The KL term then fills the latent with as much noise as that distortion allows,
# and the decoder learns to live with a latent that is known only roughly.
DISTORTION = 0.016
STRUCTURE = 0.01  # weight of 1 - SSIM against the squared error


def make_autoencoder(
    path: Path,
    schedule: Schedule,
    data: TrainingData,
    session: Session,
    *,
    crop: int,
    settings: AutoencoderSettings | None = None,
) -> None:
    """Train the network and write its file, with the statistics of its latent.

    Args:
        session: its start is a model folder, whose network is kept; without, `settings` (or their
            defaults) and weights from the schedule's seed.
    """
    state = None
    first = part_file(session.start, "autoencoder") if session.start else None
    if first is not None:
        model = load_autoencoder(first)
        state = model.network.state_dict()
        settings = AutoencoderSettings.read(model.metadata["network"])
    settings = settings or AutoencoderSettings()
    network = train_autoencoder(settings, schedule, data, session, crop=crop, start=state)
    stored = build_autoencoder(settings, schedule.seed).eval()
    stored.load_state_dict(rounded(network.state_dict()))
    mean, std = standardise(data, stored.to(session.device))
    about = {
        "network": settings.values(),
        "mean": mean.tolist(),
        "std": std.tolist(),
        "provenance": training_provenance(schedule, data, crop, first),
    }
    save_network(path, stored.state_dict(), about)


def standardise(
    data: TrainingData, network: LatentNetwork, *, size: int = 256, most: int = 2048
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of every channel of the latent over the training data.

    See `latent_statistics` and `centre_latents`.
    """
    return latent_statistics(
        centre_latents(data, network, size=size, most=most),
        "lower training.mpd.autoencoder.learning_rate",
    )


def latent_statistics(
    latents: Iterable[NDArray[np.float32]], remedy: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (population) of every channel of latents, (channels) each.

    Args:
        latents: (channels, cells) each.
        remedy: of a collapsed channel.

    Raises ModelError where a channel is constant: the network was not trained.
    """
    count, total, squares = 0, np.zeros(()), np.zeros(())
    for latent in latents:
        cells = latent.astype(np.float64)
        count += cells.shape[1]
        total = total + cells.sum(1)
        squares = squares + (cells**2).sum(1)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    if not (std > 1e-6).all():
        text = f"latent channel collapsed: standard deviations {std.tolist()}"
        raise ModelError(f"{text}; {remedy}")
    return mean, std


def centre_latents(
    data: TrainingData, network: LatentNetwork, *, size: int = 256, most: int = 2048
) -> Iterator[NDArray[np.float32]]:
    """Latents (the posterior's means) of centre crops, (channels, cells) each.

    Crops are at most `size` pixels a side and a multiple of 8, of at most `most` images that lie
    evenly in the training data.
    """
    device = next(network.parameters()).device
    for crop in centre_crops(data, size, most):
        with torch.no_grad():
            posterior = network.encode(crop.to(device)).latent_dist
        latent: NDArray[np.float32] = posterior.mode()[0].flatten(1).cpu().numpy()
        yield latent


def centre_crops(data: TrainingData, size: int, most: int) -> Iterator[torch.Tensor]:
    """Centre crops of `centre_latents`, (1, 3, side, side) in [-1, 1] each."""
    stride = -(-len(data.images) // most)
    for image in data.images[::stride]:
        height, width = image.shape[:2]
        side = min(size, height // 8 * 8, width // 8 * 8)
        top, left = (height - side) // 2, (width - side) // 2
        crop = image[top : top + side, left : left + side].transpose(2, 0, 1)
        yield torch.from_numpy(crop / np.float32(127.5) - np.float32(1))[None]


def train_autoencoder(
    settings: AutoencoderSettings,
    schedule: Schedule,
    data: TrainingData,
    session: Session,
    *,
    crop: int,
    start: Mapping[str, torch.Tensor] | None = None,
) -> AutoencoderKL:
    """Train from scratch, or from the weights `start`, on random crops of `crop` pixels a side.

    The network that is returned is on the CPU.
    """
    network = build_autoencoder(settings, schedule.seed)
    if start is not None:
        fill_network(network, start, "start of the autoencoder's training")
    network.to(session.device, memory_format=torch.channels_last)

    def losses(rng: np.random.Generator) -> Losses:
        images = torch.from_numpy(data.crops(rng, schedule.batch, crop))
        images = images.to(session.device, memory_format=torch.channels_last)
        return _losses(network, images, forward_pass(schedule, session.device))

    describe: dict[str, Any] = {"network": settings.values(), "pool": data.digest, "crop": crop}
    describe |= {"start": state_digest(start), "loss": [DISTORTION, STRUCTURE], "norms": "fixed"}
    train(
        "autoencoder",
        network,
        # The statistics of a trained network are frozen from the start.
        replace(schedule, freeze_after=0.0) if start is not None else schedule,
        losses,
        session,
        freeze=freeze_norms,
        describe=describe,
    )
    return network.cpu()


def _losses(network: AutoencoderKL, images: torch.Tensor, precision: torch.autocast) -> Losses:
    with precision:
        posterior = network.encode(images).latent_dist
        # Drawn on the CPU: the same on every device.
        noise = torch.randn(posterior.mean.shape).to(images.device)
        shown = network.decode(posterior.mean + posterior.std * noise).sample
    mean, variance = posterior.mean.float(), posterior.var.float()
    log_variance = posterior.logvar.float()
    error, structure = picture_losses(shown.float(), images)
    nats = 0.5 * (mean**2 + variance - 1 - log_variance).sum(1).mean()
    values = images[0].numel() / mean[0, 0].numel()  # colour values per cell
    loss = error + 2 * DISTORTION / values * nats + STRUCTURE * structure
    return {"loss": loss, "error": error, "nats": nats, "structure": structure}
