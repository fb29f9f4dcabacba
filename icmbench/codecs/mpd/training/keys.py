"""Keys of the section `training.mpd`: type, default, limits and meaning of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from icmbench.codecs.mpd.model_folder import CHANNEL_LIMIT, CONCATENATED
from icmbench.core.schema import REQUIRED, Schema, array, choice, integer, local_or_source, section
from icmbench.models.grid import CELL
from icmbench.training.section import network

COUNT: Final = integer(REQUIRED, low=2)  # of clusters
COUNTS: Final = [4, 8, 16, 32, 64, 128]
OBJECTIVE: Final = choice(
    ["instances", "rotations"],
    "without labels: contrastive between augmentations of one crop and other crops, or "
    "classification of quarter turns",
)
PSEUDO_LABELS: Final = section(
    {
        "network": local_or_source(
            "file of torchvision's VGG-16 (.pth), whose taps replace those of the narrow VGG"
        ),
        "size": integer(64, "pixels a side of a patch", low=32, high=128, multiple=16),
        "patches": integer(4096, "patches of the training data", low=16),
        "descriptors": choice(
            ["per_tap", CONCATENATED],
            "one clustering per tap, from texture to semantics; or the descriptors of all taps as "
            "one vector, clustered once",
        ),
        "counts": array(
            COUNT, COUNTS, "numbers of clusters to compute, ascending", least=1, unique=True
        ),
        "clusters": array(
            COUNT,
            [32] * 5,
            "numbers of clusters used, per tap from texture to semantics, or a single one of "
            "concatenated descriptors; each one of counts",
            least=1,
            most=5,
        ),
    },
    "pseudo-labels: clusters of patch descriptors, the classes of the contrastive loss",
)


def widths(default: list[int], text: str, multiple: int = 1, **limits: Any) -> Schema:
    """Schema of the channels of a network's layers."""
    channels = integer(REQUIRED, low=1, multiple=multiple)
    return array(channels, default, f"channels {text}", **limits)


KEYS: Final[Mapping[str, Schema]] = {
    "autoencoder": network(
        4,
        8e-4,
        "crops",
        "images <-> latents; shared with diff-icmh",
        {
            "from": local_or_source(
                "published autoencoder to import instead of training: a folder of diffusers "
                "(AutoencoderKL, AutoencoderTiny, or a pipeline with a vae), a folder with "
                "*_encoder.pth and *_decoder.pth of the TAESD family, or a latent-diffusion "
                "checkpoint"
            ),
            "directions": integer(
                0,
                "leading directions of an imported latent that the palette carries; 0: all its "
                "channels, as they are",
                high=CHANNEL_LIMIT,
            ),
            "metric": choice(
                ["image", "latent"],
                "directions are principal components by the squared error of decoded images (the "
                "decoder's derivative), or of the latent itself",
            ),
            "latent": integer(
                16, "channels of the latent of the trained network", low=1, high=CHANNEL_LIMIT
            ),
            "carried": integer(
                6, "its leading channels, those that the palette carries", low=1, high=CHANNEL_LIMIT
            ),
            "encoder": widths([64, 96], "of the encoder at 1/4 and 1/8", 8, least=2, most=2),
            "decoder": widths(
                [160, 80, 48], "of the decoder at 1/8, 1/4 and 1/2", 8, least=3, most=3
            ),
            "blocks": array(
                integer(REQUIRED, low=1),
                [4, 2, 2],
                "residual blocks of the decoder at these sizes",
                least=3,
                most=3,
            ),
        },
    ),
    "contexts": section(
        {"images": integer(0, "images whose symbols are counted; 0: not trained", low=0)},
        "the entropy coder's tables",
    ),
    "reverse": network(
        4,
        1e-3,
        "crops",
        "the network of the reverse process",
        {
            "crop": integer(256, "pixels a side of the crops", low=64, multiple=CELL),
            "channels": integer(96, "channels of the residual blocks", low=1),
            "blocks": integer(6, "residual blocks", low=1),
        },
    ),
    "vgg": network(
        32,
        1e-3,
        "images",
        "the narrow VGG whose taps are clustered",
        {
            "batch": integer(32, "half the images per step", low=2, multiple=2),
            "objective": OBJECTIVE,
            "channels": widths([16, 32, 48, 64, 64], "of the five stages", least=5, most=5),
        },
    ),
    "pseudo_labels": PSEUDO_LABELS,
    "features": network(
        128,
        2e-3,
        "patches",
        "contrastive features of the latent: clustering features of the palette",
        {
            "batch": integer(128, "patches per step", low=2),
            "channels": widths([32, 48], "of the layers, each wider by one cell", least=1),
            "embedding": integer(32, "channels of the embedding", low=1),
            "head": integer(32, "length of a head's output", low=1),
            "dims": integer(
                8, "coordinates of the features, at most those of the embedding", low=1, high=8
            ),
        },
    ),
    "retrieval": integer(
        48, "scenes of split val for patch retrieval, where features are trained", low=2
    ),
}
