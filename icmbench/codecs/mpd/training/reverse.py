"""Training of the reverse process R on all states of the stream: latent and image error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.codecs.mpd.model_folder import AUTOENCODER, part_file
from icmbench.codecs.mpd.networks.reverse_network import (
    LEVELS,
    ReverseSettings,
    build_reverse,
    set_scale,
)
from icmbench.codecs.mpd.palette.clustering import default_features
from icmbench.codecs.mpd.palette.hierarchy import STATES
from icmbench.codecs.mpd.stream.encoder import encode_latent
from icmbench.codecs.mpd.stream.refinement import REFINEMENTS
from icmbench.core.errors import DatasetError
from icmbench.core.files import sha256_file
from icmbench.core.progress import progress
from icmbench.models.directions import CARRIED
from icmbench.models.latent import CELL, SCALE
from icmbench.models.latent_autoencoder import LatentAutoencoder, load_autoencoder
from icmbench.models.tensors import load_built, state_digest
from icmbench.training.data import TrainingData
from icmbench.training.images import large_images
from icmbench.training.lazy import ArrayFile, Lazy
from icmbench.training.loop import Losses, Schedule, Session, forward_pass, train
from icmbench.training.losses import scale_losses

LATENT: Final = 0.1  # weight of the logarithm of the latent's squared error, crop by crop
PICTURE: Final = 0.4  # of the reconstruction's: a gain of 1 dB counts alike in all states
STRUCTURE: Final = 0.45  # weight of 1 - SSIM of the reconstruction: as the autoencoder's training
FLOOR: Final = 1e-6  # squared error below which a gain counts for little
IMAGES: Final = 256  # at most, evenly spaced in the training data: coding one takes a second
MIDDLE: Final = 16  # cells a side of the part of a crop that is decoded for the last two
WALK: Final = 0.1  # share of examples that lie on the way of the decoder `diffusion`
AVERAGE: Final = 0.998  # decay of the average of the weights


Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Example:
    """One training image: its latent, all states of it and, read when asked for, its pixels.

    Attributes:
        states: of the stream, the finest first: that of state t is `states[t + REFINEMENTS]`.
    """

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
    *,
    crop: int = 256,
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Train R for the autoencoder of a folder; returns its weights and metadata.

    Args:
        session: its start is a file, whose network is kept; without, it is the identity.
        sizes: where there is no start; the latent follows from the autoencoder.
        crop: pixels a side of a training crop, a multiple of 8.

    Raises ModelError where the start is of another latent than the autoencoder's.
    """
    start, device = session.start, session.device
    file = part_file(model_folder, "autoencoder")
    model, autoencoder = load_autoencoder(file), sha256_file(file)
    model.network.to(device).to(memory_format=torch.channels_last)
    side = crop // CELL
    examples = make_examples(model, data, session.checkpoint.parent, side)
    error = state_errors(examples)
    noise = state_noise(error, each_channel=CARRIED in model.metadata)
    if start is None:
        settings, state = replace(sizes or ReverseSettings(), latent=model.channels), None
        network = build_reverse(settings, schedule.seed)
        set_scale(network, latent_deviation(examples), np.sqrt(error))
    else:
        network, settings, _ = load_built(start, ReverseSettings, build_reverse, model.channels)
        state = network.requires_grad_(True).state_dict()
    digest = state_digest(state)
    network.to(device).to(memory_format=torch.channels_last)

    def losses(rng: np.random.Generator) -> Losses:
        batch = [part.to(device) for part in draw(examples, noise, rng, schedule.batch, side)]
        with forward_pass(schedule, device):
            estimate = network(batch[0], batch[1])
            shown = decode(model, middle(estimate, MIDDLE))
        pixels = middle(batch[3], MIDDLE * CELL)
        return _losses(estimate, shown.float(), batch[2], pixels)

    train(
        "reverse",
        network,
        schedule,
        losses,
        session,
        describe={
            "network": settings.values(),
            # Not the folder's: other parts are made in it meanwhile.
            "autoencoder": autoencoder,
            "pool": data.digest,
            "start": digest,
            "crop": crop,
            "loss": [LATENT, PICTURE, STRUCTURE, FLOOR, MIDDLE, WALK],
        },
    )
    about = {"network": settings.values(), "noise": noise, AUTOENCODER: autoencoder}
    return network.cpu().state_dict(), about


def make_examples(
    model: LatentAutoencoder, data: TrainingData, folder: Path | None = None, side: int = 16
) -> Sequence[Example]:
    """Latents and their states, coded as the codec codes them.

    They lie in a temporary file in `folder` and are read when they are asked for. Images below a
    training crop of `side` cells are left out, of the others at most `IMAGES` are taken;
    DatasetError where none is left.
    """
    large, coded = large_images(data.images, side * CELL), ArrayFile(folder)
    if not large:
        raise DatasetError(f"the training data has no image of {side * CELL} pixels a side")
    taken = range(0, len(large), -(-len(large) // IMAGES))
    large = Lazy(taken, large.__getitem__)
    for image in progress(large, desc="states", unit="image"):
        latent = model.latent(image)
        features = default_features(model.carried_latent(latent))
        _, states = encode_latent(
            latent, carried=model.carried, refine=REFINEMENTS, features=features
        )
        by_state = {state.state: state.latent(model.channels) for state in states}
        chain = [by_state[STATES - 1]]
        for t in range(STATES - 2, -REFINEMENTS - 1, -1):
            # A state without a section of its own is the one before it.
            chain.append(by_state.get(t, chain[-1]))
        values = np.stack([latent, *reversed(chain)])
        narrow = values.astype(np.int16)  # means of int16 cells: half the size of the file
        coded.append(narrow if (narrow == values).all() else values)

    def example(number: int) -> Example:
        goal, *states = coded.read(number).astype(np.float32) / np.float32(SCALE)
        return Example(large, number, goal, tuple(states))

    return Lazy(range(len(large)), example)


def latent_deviation(examples: Sequence[Example]) -> NDArray[np.float64]:
    """Root of the mean square of every channel of the latents, (C,)."""
    squares = [np.mean(each.latent.astype(np.float64) ** 2, (0, 1)) for each in examples]
    return np.asarray(np.sqrt(np.mean(squares, 0)))


def state_errors(examples: Sequence[Example]) -> NDArray[np.float64]:
    """Mean squared error of every state and channel, (LEVELS, C), the finest state first."""
    sums = sum(
        np.array([np.mean((z - each.latent) ** 2, (0, 1), dtype=np.float64) for z in each.states])
        for each in examples
    )
    return np.asarray(sums / len(examples))


def state_noise(errors: NDArray[np.float64], *, each_channel: bool = False) -> list[Any]:
    """Mean squared error of the latent of every palette state, in squared standard deviations.

    Args:
        errors: of `state_errors`.
        each_channel: a list with the error of every channel per state.
    """
    palette = errors[REFINEMENTS:] if each_channel else errors[REFINEMENTS:].mean(1)
    found: list[Any] = np.vectorize(lambda value: float(f"{value:.6g}"))(palette).tolist()
    return found


def draw(
    examples: Sequence[Example],
    noise: list[Any],
    rng: np.random.Generator,
    count: int,
    side: int,
    walk: float = WALK,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw random crops of `side` cells a side: z_t, t, the latent and the pixels.

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
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        place = (slice(top, top + side), slice(left, left + side))
        state = int(rng.integers(LEVELS)) - REFINEMENTS
        goal, start = example.latent[place], example.states[state + REFINEMENTS][place]
        level = state
        if state > 0 and rng.random() < walk:
            level = int(rng.integers(state))
            keep = rng.random()
            residual = (start - goal) / np.sqrt(noise[state])
            drawn = rng.standard_normal(goal.shape, np.float32)
            mixed = keep * residual + np.sqrt(1 - keep**2) * drawn
            start = np.asarray(goal + np.sqrt(noise[level]) * mixed, np.float32)
        rows = slice(top * CELL, (top + side) * CELL)
        columns = slice(left * CELL, (left + side) * CELL)
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


def middle(values: torch.Tensor, most: int) -> torch.Tensor:
    """The middle of maps (n, C, h, w), at most so many values a side."""
    height, width = values.shape[2:]
    top, left = max(height - most, 0) // 2, max(width - most, 0) // 2
    return values[:, :, top : top + most, left : left + most]


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
    latent, picture = (
        (ours - theirs).square().mean((1, 2, 3)).add(FLOOR).log().mean()
        for ours, theirs in ((estimate, goal), (shown, pixels))
    )
    structure = scale_losses(shown, pixels)[1]
    loss = LATENT * latent + PICTURE * picture + STRUCTURE * structure
    return {"loss": loss, "latent": latent, "picture": picture, "structure": structure}
