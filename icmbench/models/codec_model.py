"""Base of the codecs' loaded models."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch

from icmbench.core.devices import keep_freed_memory, use_device
from icmbench.core.files import seed_from, sha256_bytes
from icmbench.models.block_autoencoder import BlockAutoencoder
from icmbench.models.latent_autoencoder import LatentAutoencoder, load_autoencoder
from icmbench.models.layout import ModelLayout


class LoadedModel:
    """A model folder whose networks run on a device.

    Attributes:
        layout: of the folder.
        folder: the model folder.
        device: `cpu` or `cuda`, prepared for deterministic inference.
        digest: `weights_digest` of the folder.
    """

    layout: ModelLayout

    def __init__(self, folder: Path, device: str) -> None:
        """Prepare the device; ModelError for a missing file, ConfigError for a missing device."""
        keep_freed_memory()
        self.folder = folder
        self.device = use_device(device)
        self.digest = self.layout.weights_digest(folder)

    def part_file(self, part: str) -> Path:
        """The weight file of a part."""
        return self.layout.part_file(self.folder, part)

    def to_device(self, *networks: torch.nn.Module) -> None:
        """Move networks to the model's device, channels last."""
        for network in networks:
            network.to(self.device).to(memory_format=torch.channels_last)


class CodecModel(LoadedModel):
    """A loaded model folder with its latent autoencoder on a device; one per process.

    Attributes:
        autoencoder: with its enlargements folded.
    """

    autoencoder: LatentAutoencoder

    def __init__(self, folder: Path | None, device: str, frozen: Self | None = None) -> None:
        """Load a folder, None: the bundled one.

        Args:
            frozen: another rate of the model on the device, whose frozen networks are taken.

        Raises ModelError where a file is missing or damaged, ConfigError for a missing device.
        """
        super().__init__(folder or self.layout.bundled(), device)
        if frozen is not None:
            self.autoencoder = frozen.autoencoder
            return
        self.autoencoder = load_autoencoder(self.part_file("autoencoder"))
        if not isinstance(self.autoencoder.network, BlockAutoencoder):
            # Imports diffusers, which takes seconds and which the blocks do not need.
            from icmbench.models.upsample import fold_upsampling

            fold_upsampling(self.autoencoder.network)
        self.to_device(self.autoencoder.network)


def noise_seed(stream: bytes, seed: int) -> int:
    """The seed of a decoder's noise, from the stream's digest; `seed` gives another one."""
    digest = sha256_bytes(stream)
    return seed_from(digest, seed) if seed else seed_from(digest)
