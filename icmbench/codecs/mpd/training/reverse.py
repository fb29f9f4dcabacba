"""Training of the reverse process R on all diffusion states: latent and reconstruction error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.codecs.mpd.model_folder import AUTOENCODER, part_file
from icmbench.codecs.mpd.networks.reverse import ReverseSettings, build_reverse, predict
from icmbench.codecs.mpd.palette.clustering import default_features
from icmbench.codecs.mpd.palette.hierarchy import STATES
from icmbench.codecs.mpd.stream.encoder import encode_latent
from icmbench.core.errors import DatasetError
from icmbench.core.files import sha256_file
from icmbench.core.progress import progress
from icmbench.models.directions import CARRIED
from icmbench.models.latent import CELL, SCALE
from icmbench.models.latent_autoencoder import LatentAutoencoder, load_autoencoder
from icmbench.models.norms import freeze_norms
from icmbench.models.tensors import load_built, state_digest
from icmbench.training.data import TrainingData
from icmbench.training.images import large_images
from icmbench.training.lazy import ArrayFile, Lazy
from icmbench.training.loop import Losses, Schedule, Session, forward_pass, train
from icmbench.training.losses import picture_losses

CROP: Final = 16  # cells of a training crop's side
PICTURE: Final = 15.0  # weight of the squared error of the reconstruction, [-1, 1] scale
STRUCTURE: Final = 0.1  # weight of 1 - SSIM of the reconstruction
WALK: Final = 0.3  # share of examples that lie on the way of the decoder `diffusion`


Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Example:
    """One training image: its latent, all states of it and, read when asked for, its pixels."""

    images: Sequence[NDArray[np.uint8]]
    number: int
    latent: NDArray[np.float32]
    states: tuple[NDArray[np.float32], ...]

    @property
    def image(self) -> NDArray[np.uint8]:
        """The pixels, uint8 (H, W, 3)."""
        return self.images[self.number]


def train_reverse(
    model_folder: Path,
    schedule: Schedule,
    data: TrainingData,
    session: Session,
    sizes: ReverseSettings | None = None,
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Train R for the autoencoder of a folder; returns its weights and metadata.

    Args:
        session: its start is a file, whose network is kept; without, it is the identity.
        sizes: where there is no start; the latent follows from the autoencoder.

    Raises ModelError where the start is of another latent than the autoencoder's.
    """
    start, device = session.start, session.device
    file = part_file(model_folder, "autoencoder")
    model, autoencoder = load_autoencoder(file), sha256_file(file)
    model.network.to(device).to(memory_format=torch.channels_last)
    examples = make_examples(model, data, session.checkpoint.parent)
    noise = state_noise(examples, each_channel=CARRIED in model.metadata)
    if start is None:
        settings, state = replace(sizes or ReverseSettings(), latent=model.channels), None
        network = build_reverse(settings, schedule.seed)
    else:
        network, settings, _ = load_built(start, ReverseSettings, build_reverse, model.channels)
        state = network.requires_grad_(True).state_dict()
    digest = state_digest(state)
    network.to(device, memory_format=torch.channels_last)

    def losses(rng: np.random.Generator) -> Losses:
        batch = [part.to(device) for part in draw(examples, noise, rng, schedule.batch)]
        with forward_pass(schedule, device):
            estimate = predict(network, batch[0], batch[1])
            shown = decode(model, estimate)
        return _losses(estimate, shown.float(), batch[2], batch[3])

    train(
        "reverse",
        network,
        replace(schedule, freeze_after=0.0) if start is not None else schedule,
        losses,
        session,
        freeze=freeze_norms,
        describe={
            "network": settings.values(),
            # Not the folder's: other parts are made in it meanwhile.
            "autoencoder": autoencoder,
            "pool": data.digest,
            "start": digest,
            "loss": [CROP, PICTURE, STRUCTURE, WALK],
        },
    )
    about = {"network": settings.values(), "noise": noise, AUTOENCODER: autoencoder}
    return network.cpu().state_dict(), about


def make_examples(
    model: LatentAutoencoder, data: TrainingData, folder: Path | None = None
) -> Sequence[Example]:
    """Latents and their states, coded as the codec codes them.

    They lie in a temporary file in `folder` and are read when they are asked for. Images below a
    training crop are left out; DatasetError where none is left.
    """
    large, coded = large_images(data.images, CROP * CELL), ArrayFile(folder)
    if not large:
        raise DatasetError(f"the training data has no image of {CROP * CELL} pixels a side")
    for image in progress(large, desc="states", unit="image"):
        latent = model.latent(image)
        carried = model.carried_latent(latent)
        _, states = encode_latent(carried, features=default_features(carried))
        by_state = {state.state: state.latent(model.channels) for state in states}
        chain = [by_state[STATES - 1]]
        for t in range(STATES - 2, -1, -1):
            # A state without a section of its own is the one before it.
            chain.append(by_state.get(t, chain[-1]))
        values = np.stack([latent, *reversed(chain)])
        narrow = values.astype(np.int16)  # means of int16 cells: half the size of the file
        coded.append(narrow if (narrow == values).all() else values)

    def example(number: int) -> Example:
        goal, *states = coded.read(number).astype(np.float32) / np.float32(SCALE)
        return Example(large, number, goal, tuple(states))

    return Lazy(range(len(large)), example)


def state_noise(examples: Sequence[Example], *, each_channel: bool = False) -> list[Any]:
    """Mean squared error of every state's latent, in squared standard deviations.

    Args:
        each_channel: a list with the error of every channel per state.
    """
    axes = (0, 1) if each_channel else None
    errors = (np.array([np.mean((z - e.latent) ** 2, axes) for z in e.states]) for e in examples)
    sums = np.asarray(sum(each.astype(np.float64) for each in errors))
    rounded = np.vectorize(lambda value: float(f"{value:.6g}"))
    found: list[Any] = rounded(sums / len(examples)).tolist()
    return found


def draw(
    examples: Sequence[Example],
    noise: list[Any],
    rng: np.random.Generator,
    count: int,
    walk: float = WALK,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw random crops: z_t, t, z_0 and the pixels.

    A share `walk` of the crops is interpolated between z_t and z_0, like the intermediate latents
    of the decoder `diffusion`.
    """
    starts: list[Floats] = []
    goals: list[Floats] = []
    pixels: list[Floats] = []
    levels: list[int] = []
    while len(starts) < count:
        example = examples[int(rng.integers(len(examples)))]
        height, width = example.image.shape[0] // CELL, example.image.shape[1] // CELL
        top, left = int(rng.integers(height - CROP + 1)), int(rng.integers(width - CROP + 1))
        place = (slice(top, top + CROP), slice(left, left + CROP))
        state = int(rng.integers(STATES))
        goal, start = example.latent[place], example.states[state][place]
        level = state
        if state > 0 and rng.random() < walk:
            level = int(rng.integers(state))
            keep = rng.random()
            residual = (start - goal) / np.sqrt(noise[state])
            drawn = rng.standard_normal(goal.shape, np.float32)
            mixed = keep * residual + np.sqrt(1 - keep**2) * drawn
            start = np.asarray(goal + np.sqrt(noise[level]) * mixed, np.float32)
        rows = slice(top * CELL, (top + CROP) * CELL)
        columns = slice(left * CELL, (left + CROP) * CELL)
        picture = np.asarray(example.image[rows, columns], np.float32) / 127.5 - 1
        starts.append(start)
        levels.append(level)
        goals.append(goal)
        pixels.append(picture)
    stacked = [
        torch.from_numpy(np.stack(part).astype(np.float32).transpose(0, 3, 1, 2).copy())
        for part in (starts, goals, pixels)
    ]
    return stacked[0], torch.tensor(levels), stacked[1], stacked[2]


def decode(model: LatentAutoencoder, latent: torch.Tensor) -> torch.Tensor:
    """Pixels of standardised latents, in [-1, 1]."""
    std, mean = (
        torch.from_numpy(values)[None, :, None, None].to(latent.device)
        for values in (model.std, model.mean)
    )
    pixels: torch.Tensor = model.network.decode(latent * std + mean).sample
    return pixels


def _losses(
    estimate: torch.Tensor, shown: torch.Tensor, goal: torch.Tensor, pixels: torch.Tensor
) -> Losses:
    latent = torch.nn.functional.mse_loss(estimate, goal)
    picture, structure = picture_losses(shown, pixels)
    loss = latent + PICTURE * picture + STRUCTURE * structure
    return {"loss": loss, "latent": latent, "picture": picture, "structure": structure}
