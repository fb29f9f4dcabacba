"""The entropy coder's trained start, and the data-set palette: integer tables of the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.bitstream.arithmetic import AGES, Model
from icmbench.errors import ConfigError, ModelError
from icmbench.mpd import contexts as ctx
from icmbench.mpd.encoder import encode_latent
from icmbench.mpd.guidance import surroundings
from icmbench.mpd.model import part_file
from icmbench.mpd.shared_palette import SharedPalette, make_shared_palette
from icmbench.mpd.tensors import load_arrays
from icmbench.progress import progress
from icmbench.training.pool import Pool

OLDEST_SLOT: Final = 40  # trained slots are young enough to follow an image
OLDEST_MIXER: Final = 200

Latent = NDArray[np.int16]


def train_contexts(
    model_folder: Path, pool: Pool, images: int, device: str = "cpu"
) -> dict[str, NDArray[Any]]:
    """Tables from the first `images` images of the pool that lie evenly in it.

    Latents are computed on `device`; the tables are integers, counted on the CPU.
    """
    from icmbench.mpd.latent import image_latent
    from icmbench.mpd.model import load_model

    model = load_model(model_folder, ("autoencoder",))
    model.autoencoder.to(device)
    count = min(images, len(pool.images))
    chosen = [pool.images[index * len(pool.images) // count] for index in range(count)]
    latents = [
        image_latent(model.autoencoder, image, model.mean, model.std, device)
        for image in progress(chosen, desc="latents", unit="image")
    ]
    return context_arrays(latents)


def context_arrays(latents: Sequence[Latent]) -> dict[str, NDArray[Any]]:
    """Slots and mixers after coding all latents one after the other, and their common palette."""
    shared = make_shared_palette(list(latents))
    adaptive = ctx.fresh_model()
    fresh = ctx.fresh_model()
    for palette in (None, shared):
        for latent in progress(latents, desc="contexts", unit="image"):
            guide = surroundings(latent) if palette is None else None
            encode_latent(latent, shared=palette, adaptive=adaptive, keep=True, guide=guide)
            adaptive.slots[ctx.SHARED :] = fresh.slots[ctx.SHARED :]
            adaptive.seen[ctx.SHARED :] = 0
    return {
        "slots": adaptive.slots[: ctx.SHARED].copy(),
        "seen": np.minimum(adaptive.seen[: ctx.SHARED], OLDEST_SLOT),
        "weights": adaptive.weights.copy(),
        "turns": np.minimum(adaptive.turns, OLDEST_MIXER).astype(np.int32),
        **shared.arrays(),
    }


def load_contexts(folder: Path, channels: int) -> tuple[Model, SharedPalette]:
    """The coder's state at the start of every image, and the data-set palette.

    Args:
        channels: of the latent.

    Raises ModelError naming the file and the table that is missing or not what it should be.
    """
    path = part_file(folder, "contexts")
    arrays, _ = load_arrays(path)
    shapes = {
        "slots": ((ctx.SHARED,), np.int32),
        "seen": ((ctx.SHARED,), np.uint8),
        "weights": ((ctx.MIXERS, ctx.INPUTS, AGES), np.int32),
        "turns": ((ctx.MIXERS,), np.int32),
    }
    for name, (shape, kind) in shapes.items():
        if name not in arrays:
            raise ModelError(f"{path}: table {name!r} is missing")
        if arrays[name].shape != shape or arrays[name].dtype != kind:
            raise ModelError(f"{path}: table {name!r} is {arrays[name].dtype} {arrays[name].shape}")
    slots = arrays["slots"]
    if slots.min() < 0 or slots.max() >= 1 << 22:
        raise ModelError(f"{path}: table 'slots' holds what is no probability")
    weights = arrays["weights"].astype(np.int64)  # the least int32 has no absolute value
    if arrays["turns"].min() < 0 or np.abs(weights).max() > 1 << 19:
        raise ModelError(f"{path}: the tables 'turns' and 'weights' are not a mixer's")
    if channels > ctx.MAX_CHANNELS:
        raise ModelError(f"{path}: {channels} channels, the coder has {ctx.MAX_CHANNELS} at most")
    model = ctx.fresh_model()
    model.slots[: ctx.SHARED] = slots
    model.seen[: ctx.SHARED] = arrays["seen"]
    model.weights[:] = arrays["weights"]
    model.turns[:] = arrays["turns"]
    for name in ("left", "right", "means"):
        if f"palette.{name}" not in arrays:
            raise ModelError(f"{path}: table 'palette.{name}' is missing")
    try:
        return model, SharedPalette.read(arrays, channels)
    except ConfigError as error:
        raise ModelError(f"{path}: {error}") from error
