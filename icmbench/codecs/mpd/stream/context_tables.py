"""Context tables of a model folder: the coder's state at the start of an image, and its palette."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from icmbench.bitstream.arithmetic import AGES, Model
from icmbench.codecs.mpd.model_folder import CHANNEL_LIMIT
from icmbench.codecs.mpd.palette.shared_palette import SharedPalette
from icmbench.codecs.mpd.stream import contexts as ctx
from icmbench.core.errors import ConfigError, ModelError
from icmbench.models.tensors import load_arrays


def load_contexts(path: Path, channels: int) -> tuple[Model, SharedPalette]:
    """The coder's state at the start of every image, and the data-set palette.

    Args:
        channels: of the latent.

    Raises ModelError naming the file and the table that is missing or not what it should be.
    """
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
    if channels > CHANNEL_LIMIT:
        raise ModelError(f"{path}: {channels} channels, the coder has {CHANNEL_LIMIT} at most")
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
