"""Self-supervised training of a narrow VGG, by one of two objectives.

`instances`: match two augmentations of one crop among those of all others. `rotations`: classify
the quarter turn. A step has as many images of either; the heads are dropped in the end.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import Any, Final

import numpy as np
import torch

from icmbench.codecs.mpd.networks.vgg import VggSettings, build_vgg, load_vgg, normalise, taps
from icmbench.core.errors import ConfigError, DatasetError
from icmbench.core.files import seed_from
from icmbench.models.tensors import fill_network, state_digest
from icmbench.training.data import TrainingData
from icmbench.training.images import large_images
from icmbench.training.loop import Losses, Schedule, Session, forward_pass, train

OBJECTIVES: Final = ("instances", "rotations")
SOURCE: Final = 1.5  # side of the source crop of an image's augmentations, over theirs
SMALLEST: Final = 0.5  # side of the smallest crop in it, over its own
JITTER: Final = 0.4  # of brightness, contrast and saturation, and half of it per colour channel
GREY: Final = 0.1  # share of the augmentations without colour
TEMPERATURE: Final = 0.2  # of the normalised similarities
WIDTH: Final = 128  # of the head's layers
CALIBRATION: Final = 64  # images that the untrained network is calibrated on


def train_vgg(
    schedule: Schedule,
    data: TrainingData,
    crop: int,
    objective: str,
    session: Session,
    *,
    settings: VggSettings,
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Train a VGG on crops of training images; returns its weights and metadata, without the head.

    Args:
        schedule: `instances` takes two augmentations of `batch` crops, `rotations` four turns of
            half as many, so that a step has 2 * batch images of either.
        crop: side of an augmented crop in pixels. Images below `source_side(crop)` are left out.
        objective: one of `OBJECTIVES`.
        session: its start is a file that `load_vgg` reads.

    Raises ConfigError for another objective, an odd batch or a crop below 16 pixels, DatasetError
    where no image is large enough, ModelError where the start is of another size than `settings`.
    """
    if objective not in OBJECTIVES:
        raise ConfigError(f"objective {objective!r} is none of {', '.join(OBJECTIVES)}")
    if schedule.batch < 2 or schedule.batch % 2 or crop < 16:
        raise ConfigError(f"batch {schedule.batch}, crop {crop}: an even batch and 16 pixels")
    side = source_side(crop)
    large = large_images(data.images, side)
    if not large:
        raise DatasetError(f"the training data has no image of {side} pixels a side")
    usable = dataclasses.replace(data, images=large)
    vgg, state = build_vgg(settings, schedule.seed), None
    if session.start is None:
        rng = np.random.default_rng(seed_from(schedule.seed, "vgg", "start"))
        source = torch.from_numpy(usable.crops(rng, CALIBRATION, side))
        calibrate(vgg, augmentations(source, crop, rng))
    else:
        state = load_vgg(session.start).state_dict()
        fill_network(vgg, state, f"start of the VGG's training, {session.start}")
    outputs = WIDTH if objective == "instances" else 4
    head = make_head(settings.channels[-1], outputs, schedule.seed)
    network = torch.nn.Sequential(OrderedDict(vgg=vgg, head=head))
    network.to(session.device).to(memory_format=torch.channels_last)

    def losses(rng: np.random.Generator) -> Losses:
        return _losses(vgg, head, objective, usable, schedule, crop, rng)

    train(
        "vgg",
        network,
        schedule,
        losses,
        session,
        describe={
            "network": settings.values(),
            "objective": objective,
            "pool": data.digest,
            "crop": crop,
            "start": state_digest(state),
            "loss": [SOURCE, SMALLEST, JITTER, GREY, TEMPERATURE, WIDTH, CALIBRATION],
        },
    )
    return vgg.cpu().state_dict(), {"network": settings.values(), "objective": objective}


def source_side(crop: int) -> int:
    """Side in pixels of the crops that augmentations are cut from."""
    return int(np.ceil(SOURCE * crop))


@torch.no_grad()
def calibrate(network: torch.nn.Module, pixels: torch.Tensor) -> None:
    """Scale and shift every convolution so that its outputs have mean 0 and variance 1, in place.

    Per channel, over images (n, 3, H, W) in [-1, 1]: the data-dependent initialisation of
    Salimans and Kingma 2016 (section 3). Without it, and without normalisation layers, the deep
    taps of all images point the same way at the start, and the tasks are learnt more slowly.
    """
    values = normalise(pixels)
    for layer in network.get_submodule("features").children():
        if isinstance(layer, torch.nn.Conv2d):
            assert layer.bias is not None
            before = layer(values)
            spread = before.std((0, 2, 3)).clamp_min(1e-3)
            layer.bias.copy_((layer.bias - before.mean((0, 2, 3))) / spread)
            layer.weight.div_(spread[:, None, None, None])
        values = layer(values)


def make_head(channels: int, outputs: int, seed: int) -> torch.nn.Module:
    """Two layers behind the mean of the last tap, as in Chen et al. 2020 (section 4.2).

    It alone normalises by the batch, because VGG-16 has no layers that do.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.BatchNorm1d(channels),
            torch.nn.Linear(channels, WIDTH),
            torch.nn.BatchNorm1d(WIDTH),
            torch.nn.ReLU(),
            torch.nn.Linear(WIDTH, outputs),
        )


def _losses(
    vgg: torch.nn.Module,
    head: torch.nn.Module,
    objective: str,
    data: TrainingData,
    schedule: Schedule,
    crop: int,
    rng: np.random.Generator,
) -> Losses:
    """Loss of one step, and the share of images that are classified correctly."""
    instances = objective == "instances"
    count = schedule.batch if instances else schedule.batch // 2
    source = torch.from_numpy(data.crops(rng, count, source_side(crop)))
    device = next(vgg.parameters()).device
    if instances:
        images = augmentations(source.repeat(2, 1, 1, 1), crop, rng)
    else:
        images, turns = quarter_turns(augmentations(source, crop, rng))
    images = images.contiguous(memory_format=torch.channels_last).to(device)
    with forward_pass(schedule, device.type):
        answers = head(taps(vgg, images)[-1].mean((2, 3))).float()
    if instances:
        return nt_xent(answers, TEMPERATURE)
    turns = turns.to(device)
    loss = torch.nn.functional.cross_entropy(answers, turns)
    return {"loss": loss, "correct": (answers.argmax(1) == turns).float().mean()}


def augmentations(images: torch.Tensor, side: int, rng: np.random.Generator) -> torch.Tensor:
    """Augment every image: random crop, mirroring and colours.

    No blur, unlike Chen et al. 2020: the taps must distinguish textures, also sharp from soft ones.

    Args:
        images: float32 (n, 3, S, S) in [-1, 1].
        side: of a crop, in pixels; the region it shows is at least `SMALLEST` of S a side.

    Returns float32 (n, 3, side, side) in [-1, 1].
    """
    count = len(images)
    scale = rng.uniform(SMALLEST, 1.0, count)
    place = np.zeros((count, 2, 3), np.float32)
    place[:, 0, 0] = scale * rng.choice([-1.0, 1.0], count)
    place[:, 1, 1] = scale
    place[:, :, 2] = (1 - scale)[:, None] * rng.uniform(-1.0, 1.0, (count, 2))
    grid = torch.nn.functional.affine_grid(
        torch.from_numpy(place), [count, 3, side, side], align_corners=False
    )
    cut = torch.nn.functional.grid_sample(
        images, grid, padding_mode="reflection", align_corners=False
    )
    return _recolour(cut, rng)


def _recolour(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Change brightness, colour balance, contrast and saturation of every image."""
    count = len(images)

    def factors(spread: float, channels: int) -> torch.Tensor:
        drawn = rng.uniform(1 - spread, 1 + spread, (count, channels, 1, 1))
        return torch.from_numpy(drawn.astype(np.float32))

    values = (images + 1) / 2 * factors(JITTER, 1) * factors(JITTER / 2, 3)
    middle = values.mean((1, 2, 3), keepdim=True)
    values = middle + (values - middle) * factors(JITTER, 1)
    grey = values.mean(1, keepdim=True)
    colourful = torch.from_numpy(rng.random((count, 1, 1, 1)) >= GREY)
    values = grey + (values - grey) * factors(JITTER, 1) * colourful
    return values.clamp(0, 1) * 2 - 1


def quarter_turns(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """All four turns of every image, (4n, 3, H, H), and which turn each is, int64 (4n,).

    The task of Gidaris et al. 2018 (section 3.1).
    """
    turned = torch.cat([torch.rot90(images, turn, (2, 3)) for turn in range(4)])
    return turned, torch.arange(4).repeat_interleave(len(images))


def nt_xent(answers: torch.Tensor, temperature: float) -> Losses:
    """The normalised temperature-scaled cross entropy of Chen et al. 2020 (section 2.1).

    Args:
        answers: (2n, D); row i and row i + n are of one image.

    Returns the mean over all 2n rows as `loss`, and as `correct` the share of rows whose nearest
    other row is of the same image.
    """
    count = len(answers)
    unit = torch.nn.functional.normalize(answers, dim=1)
    similar = unit @ unit.T / temperature
    device = answers.device
    similar = similar.masked_fill(torch.eye(count, dtype=torch.bool, device=device), -torch.inf)
    partner = (torch.arange(count, device=device) + count // 2) % count
    loss = torch.nn.functional.cross_entropy(similar, partner)
    return {"loss": loss, "correct": (similar.argmax(1) == partner).float().mean()}
