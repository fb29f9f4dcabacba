"""Tags of an image, predicted in the encoder: by the tagger of latents, or by RAM++."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.codecs.diff_icmh.networks.tagger import Tagger, chosen_tags, load_tagger
from icmbench.core.errors import ModelError
from icmbench.models.headers import read_header
from icmbench.models.tensors import load_network, make_network

if TYPE_CHECKING:  # torchvision takes a second to load
    from icmbench.codecs.diff_icmh.networks.ram_plus import RamPlus


@dataclass(frozen=True)
class LatentTagging:
    """The tagger of latents.

    It runs on the CPU, so that the order of nearly equal scores does not depend on a GPU.
    """

    network: Tagger

    def __call__(self, image: NDArray[np.uint8], latent: NDArray[np.float32]) -> tuple[int, ...]:
        """Predict the tags of an image (H, W, 3) with a latent (h, w, C): their ids, ascending."""
        with torch.inference_mode():
            return chosen_tags(self.network(_batch(latent))[0])

    def example(self, latent: torch.Tensor) -> torch.Tensor:
        """The network's input for a latent (1, C, h, w)."""
        return latent


@dataclass(frozen=True)
class ImageTagging:
    """RAM++, on the device of the model: it has 330 million parameters."""

    network: RamPlus
    device: str

    def __call__(self, image: NDArray[np.uint8], latent: NDArray[np.float32]) -> tuple[int, ...]:
        """Predict the tags of an image (H, W, 3) with a latent (h, w, C): their ids, ascending."""
        with torch.inference_mode():
            pixels = _batch(image).to(self.device).float() / 255
            return self.network.chosen(self.network(self.network.prepared(pixels))[0])

    def example(self, latent: torch.Tensor) -> torch.Tensor:
        """An input of the network, which does not depend on the latent, on the latter's device."""
        side = self.network.settings.image
        return latent.new_zeros(1, 3, side, side)


def load_tagging(
    path: Path, vocabulary: Sequence[str], device: str
) -> LatentTagging | ImageTagging:
    """Load the tagger of a file.

    Raises ModelError naming the file where it is damaged, or where its tags are not those of the
    prior.
    """
    network = read_header(path).get("network")
    if not isinstance(network, dict) or "kind" not in network:
        return LatentTagging(load_tagger(path, vocabulary))
    tagger = load_ram_plus(path)
    if (count := tagger.settings.tags) != len(vocabulary):
        raise ModelError(f"{path}: of {count} tags, the prior has {len(vocabulary)}")
    return ImageTagging(tagger.to(device), device)


def load_ram_plus(path: Path) -> RamPlus:
    """Load RAM++ from a weight file of ours; ModelError naming file and tensor."""
    from icmbench.codecs.diff_icmh.networks.ram_plus import RamPlusSettings, build_ram_plus

    state, metadata = load_network(path)

    def build(settings: Any) -> RamPlus:
        return build_ram_plus(RamPlusSettings.read(settings), seed=0)

    return make_network(path, state, metadata.get("network"), build).eval().requires_grad_(False)


def _batch(values: NDArray[Any]) -> torch.Tensor:
    """A batch of one, (1, C, H, W), of values (H, W, C)."""
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)[None]))
