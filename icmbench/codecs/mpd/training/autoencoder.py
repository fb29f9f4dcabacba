"""Training of the autoencoder: squared error and structure at every state that a stream leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.codecs.mpd.model_folder import part_file
from icmbench.codecs.mpd.training.centre_crops import centre_crops, centre_latents
from icmbench.codecs.mpd.training.directions import FLOOR, decoder_sensitivity
from icmbench.codecs.mpd.training.simulated import simulated_states
from icmbench.core.errors import ModelError
from icmbench.models.block_autoencoder import (
    VALUES,
    BlockAutoencoder,
    BlockSettings,
    block_values,
    build_blocks,
    scale_channels,
)
from icmbench.models.directions import CARRIED
from icmbench.models.latent import LIMIT, SCALE
from icmbench.models.latent_autoencoder import BLOCKS, load_autoencoder
from icmbench.models.tensors import fill_network, rounded, save_network, state_digest
from icmbench.training.data import TrainingData
from icmbench.training.loop import Losses, Schedule, Session, forward_pass, train
from icmbench.training.losses import SCALES, scale_losses
from icmbench.training.provenance import training_provenance

STRUCTURE: Final = 0.03  # weight of 1 - SSIM, mean of three scales, against the squared error
AVERAGE: Final = 0.999  # decay of the average of the weights
HEADROOM: Final = 1.05  # of the latent's range over its largest value in the training data


def make_autoencoder(
    path: Path,
    schedule: Schedule,
    data: TrainingData,
    session: Session,
    *,
    crop: int,
    carried: int,
    settings: BlockSettings | None = None,
) -> None:
    """Train the network and write its file, with the scale of its latent.

    Every channel is scaled by what the decoder makes of a change in it, and then all by the same
    number: the squared distance of two latents is about the squared error of their images.

    Args:
        session: its start is a model folder, whose network is kept; without, `settings` (or their
            defaults) and weights from the schedule's seed.
        carried: number of leading channels that the palette carries.

    Raises ModelError where the palette is to carry more channels than there are.
    """
    state = None
    first = part_file(session.start, "autoencoder") if session.start else None
    if first is not None:
        model = load_autoencoder(first)
        state = model.network.state_dict()
        settings = BlockSettings.read(model.metadata["network"])
    settings = settings or BlockSettings()
    if carried > settings.latent:
        raise ModelError(
            f"training.mpd.autoencoder.carried: {carried}, but the latent has {settings.latent} "
            "channels: at most that"
        )
    network = train_autoencoder(
        settings, schedule, data, session, crop=crop, carried=carried, start=state
    )
    sensitivity = np.diag(decoder_sensitivity(data, network.to(session.device)))
    scale_channels(network.cpu(), np.sqrt(np.maximum(sensitivity, FLOOR * sensitivity.mean())))
    stored = build_blocks(settings, schedule.seed).eval()
    stored.load_state_dict(rounded(network.state_dict()))
    mean, scale = common_scale(centre_latents(data, stored.to(session.device)))
    about = {
        "layout": BLOCKS,
        "network": settings.values(),
        CARRIED: carried,
        "mean": mean.tolist(),
        "std": [scale] * settings.latent,
        "provenance": training_provenance(schedule, data, crop, first),
    }
    save_network(path, stored.state_dict(), about)


def common_scale(latents: Iterable[NDArray[np.float32]]) -> tuple[NDArray[np.float64], float]:
    """Mean of every channel of latents, (channels, cells) each, and one scale of all channels.

    The integer range of the latent then ends `HEADROOM` beyond the largest value.
    """
    values = list(latents)
    count = sum(latent.shape[1] for latent in values)
    mean = np.asarray(sum(latent.sum(1, dtype=np.float64) for latent in values)) / count
    largest = max(float(np.abs(latent - mean[:, None]).max()) for latent in values)
    return mean, float(np.float32(HEADROOM * largest * SCALE / LIMIT))


def principal_components(
    data: TrainingData,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Principal components of 8 x 8 blocks, (192, 192) in rows by variance, and the mean block.

    The blocks are those of `centre_crops`. The largest element of a component is positive.
    """
    count, total, products = 0, np.zeros(VALUES), np.zeros((VALUES, VALUES))
    for crop in centre_crops(data, 256, 2048):
        blocks = block_values(crop).double().numpy()
        count += len(blocks)
        total += blocks.sum(0)
        products += blocks.T @ blocks
    mean = total / count
    rows = np.linalg.eigh(products / count - np.outer(mean, mean))[1][:, ::-1].T
    signs = np.sign(np.take_along_axis(rows, np.abs(rows).argmax(1)[:, None], axis=1))
    return rows * signs, mean


def train_autoencoder(
    settings: BlockSettings,
    schedule: Schedule,
    data: TrainingData,
    session: Session,
    *,
    crop: int,
    carried: int,
    start: Mapping[str, torch.Tensor] | None = None,
) -> BlockAutoencoder:
    """Train from scratch, or from the weights `start`, on random crops of `crop` pixels a side.

    The network that is returned is on the CPU.
    """
    components = principal_components(data) if start is None else None
    network = build_blocks(settings, schedule.seed, components)
    if start is not None:
        fill_network(network, start, "start of the autoencoder's training")
    network.to(session.device).to(memory_format=torch.channels_last)

    def losses(rng: np.random.Generator) -> Losses:
        images = torch.from_numpy(data.crops(rng, schedule.batch, crop))
        images = images.to(session.device, memory_format=torch.channels_last)
        precision = forward_pass(schedule, session.device)
        with precision:
            latent = network.encode(images).latent_dist.mode()
        states = simulated_states(latent.float(), carried, rng)
        with precision:
            shown = network.decode(states.contiguous(memory_format=torch.channels_last)).sample
        return _losses(shown.float(), images)

    describe: dict[str, Any] = {"network": settings.values(), "pool": data.digest, "crop": crop}
    describe |= {"start": state_digest(start), "carried": carried, "loss": [STRUCTURE, SCALES]}
    train("autoencoder", network, schedule, losses, session, describe=describe)
    return network.cpu()


def _losses(shown: torch.Tensor, images: torch.Tensor) -> Losses:
    error, structure = scale_losses(shown, images)
    return {"loss": error + STRUCTURE * structure, "error": error, "structure": structure}
