"""Initial state of the entropy coder, and the data-set palette: integer tables of the model.

Both are counted on training images; no gradient is involved. The coder adapts while it codes an
image: the tables are the state that it starts from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.codecs.mpd.model_folder import part_file
from icmbench.codecs.mpd.palette.clustering import default_features
from icmbench.codecs.mpd.palette.shared_palette import make_shared_palette
from icmbench.codecs.mpd.stream import contexts as ctx
from icmbench.codecs.mpd.stream.encoder import encode_latent
from icmbench.codecs.mpd.stream.refinement import REFINEMENTS
from icmbench.core.progress import progress
from icmbench.training.data import TrainingData

# The adaptation rate falls with the number of coded bits: capped counts keep the trained slots and
# mixers adaptive.
MAX_SLOT_COUNT: Final = 40
MAX_MIXER_COUNT: Final = 200

Latent = NDArray[np.int16]


def train_contexts(
    model_folder: Path, data: TrainingData, images: int, device: str = "cpu"
) -> dict[str, NDArray[Any]]:
    """Count the tables on `images` images, evenly spaced in the training data.

    Latents are computed on `device`; the tables are integers, counted on the CPU.
    """
    from icmbench.models.latent_autoencoder import load_autoencoder

    model = load_autoencoder(part_file(model_folder, "autoencoder"))
    model.network.to(device)
    count = min(images, len(data.images))
    chosen = [index * len(data.images) // count for index in range(count)]
    bar = progress(chosen, desc="latents", unit="image")
    latents = [model.latent(data.images[index]) for index in bar]
    return context_arrays(latents, model.carried)


def context_arrays(
    latents: Sequence[Latent], carried: int | None = None
) -> dict[str, NDArray[Any]]:
    """Slots and mixers after coding all latents in turn, and the data-set palette.

    Args:
        carried: leading channels that the palettes carry; None: all.
    """
    leading = [np.ascontiguousarray(latent[:, :, :carried]) for latent in latents]
    shared = make_shared_palette(leading)
    adaptive = ctx.fresh_model()
    fresh = ctx.fresh_model()
    for palette in (None, shared):
        pairs = list(zip(latents, leading, strict=True))
        for latent, coarse in progress(pairs, desc="contexts", unit="image"):
            features = default_features(coarse) if palette is None else None
            encode_latent(
                latent, carried=carried, refine=REFINEMENTS, shared=palette, adaptive=adaptive,
                keep=True, features=features,
            )  # fmt: skip
            adaptive.slots[ctx.SHARED :] = fresh.slots[ctx.SHARED :]
            adaptive.seen[ctx.SHARED :] = 0
    return {
        "slots": adaptive.slots[: ctx.SHARED].copy(),
        "seen": np.minimum(adaptive.seen[: ctx.SHARED], MAX_SLOT_COUNT),
        "weights": adaptive.weights.copy(),
        "turns": np.minimum(adaptive.turns, MAX_MIXER_COUNT).astype(np.int32),
        **shared.arrays(),
    }
