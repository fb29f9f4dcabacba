"""The model folder of MPD.

    <models>/mpd/autoencoder.safetensors   latent autoencoder, mean and deviation of its latent
    <models>/mpd/contexts.safetensors      integer tables of the entropy coder
    <models>/mpd/reverse.safetensors       the network of the reverse process
    <models>/mpd/vgg.safetensors           texture-semantic descriptors, for pseudo-labels
    <models>/mpd/features-fft.safetensors  contrastive features, from descriptors with the FFT
    <models>/mpd/features-mean.safetensors contrastive features, from descriptors without it
    <models>/mpd/card.json                 the model card

A stream depends on the first three; the others stay on the encoder's side.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from icmbench.core.errors import ModelError
from icmbench.core.files import sha256_file
from icmbench.models.headers import read_header
from icmbench.models.layout import ModelLayout

NAME: Final = "mpd"
PARTS: Final = ("autoencoder", "contexts", "reverse")
TAPS: Final = ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3")  # of `vgg`: the levels
CONCATENATED: Final = "concatenated"  # descriptors of all taps as one, whose clusters are a level
ALL_TAPS: Final = "all_taps"  # name of that level
AUTOENCODER: Final = "autoencoder"  # key of metadata: sha256 of the file a part was trained on
CHANNEL_LIMIT: Final = 64  # of a latent that can be coded
KINDS: Final = ("fft", "mean")  # of the descriptors that features learn from
ENCODER_PARTS: Final = ("vgg", *(f"features-{kind}" for kind in KINDS))

LAYOUT: Final = ModelLayout(
    NAME,
    "weights of MPD, Markov palette diffusion (ACM MM 2023, arXiv 2410.06149)",
    PARTS,
    ENCODER_PARTS,
    {
        "autoencoder": "an image to and from a latent at 1/8 of its size",
        "contexts": "integer tables of the entropy coder",
        "reverse": "network that predicts the finest latent from a coarser state",
        "vgg": "narrow VGG of five stages, trained without labels: descriptors for pseudo-labels",
        "features-fft": "contrastive features of the latent; pseudo-labels from FFT descriptors",
        "features-mean": "contrastive features of the latent; pseudo-labels without the FFT",
    },
)
bundled = LAYOUT.bundled
part_file = LAYOUT.part_file
check_folder = LAYOUT.check_folder
stream_files = LAYOUT.stream_files
encoder_files = LAYOUT.encoder_files
weights_digest = LAYOUT.weights_digest


def level_names(descriptors: str) -> tuple[str, ...]:
    """Names of the levels of pseudo-labels, from `training.mpd.pseudo_labels.descriptors`."""
    return (ALL_TAPS,) if descriptors == CONCATENATED else TAPS


def check_together(folder: Path, parts: Sequence[str]) -> None:
    """Raise ModelError where a part was trained on another autoencoder than the folder's.

    A file without the digest of its autoencoder is one of the bundled ones (or an older one) and
    belongs to the bundled autoencoder.

    Args:
        parts: those that depend on the autoencoder: `contexts`, `reverse`, `features-<kind>`.
    """
    autoencoder = part_file(folder, "autoencoder")
    found = sha256_file(autoencoder)
    bundled_one = sha256_file(part_file(bundled(), "autoencoder"))
    for part in parts:
        path = part_file(folder, part)
        stated = read_header(path).get(AUTOENCODER, bundled_one)
        if stated != found:
            whose = "the bundled one" if stated == bundled_one else f"the one of sha256 {stated}"
            raise ModelError(
                f"{path} belongs to another autoencoder ({whose}) than {autoencoder} (sha256 "
                f"{found}): train {part} for this autoencoder, or take all files of one model"
            )
