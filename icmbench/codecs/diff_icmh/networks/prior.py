"""The bundled prior: a small latent diffusion model that is conditioned on tags.

Each tag has a learned embedding. The context of an image is the embeddings of its tags, padded with
that of "no tag". The empty set of tags is the unconditional input of classifier-free guidance.
Published models have a text encoder instead: `icmbench.codecs.diff_icmh.text`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from icmbench.codecs.diff_icmh.latent_scale import LatentScale
from icmbench.codecs.diff_icmh.networks.unet import UnetSettings, build_unet
from icmbench.codecs.diff_icmh.sampling import PREDICTIONS
from icmbench.core.errors import ConfigError, ModelError
from icmbench.models.settings import NetworkSettings
from icmbench.models.tensors import load_built

# Trained in a few minutes on a CPU: attention only at 1/32 of the image's resolution.
SMALL: Final = UnetSettings(
    latent=4,
    channels=(32, 48, 96),
    layers=1,
    attention=(False, False, True),
    head_width=16,
    context=48,
)


@dataclass(frozen=True)
class PriorSettings(NetworkSettings):
    """Size of the prior.

    Attributes:
        unet: settings of the denoising network.
        vocabulary: names of the tags; a tag's id is its index.
        tokens: length of the context; surplus tags are left out.
    """

    unet: UnetSettings = SMALL
    vocabulary: tuple[str, ...] = ()
    tokens: int = 12
    kind: str = "tags"


class TagEmbedder(torch.nn.Module):
    """Embedding of sets of tags: the context of the denoising network's cross-attention."""

    def __init__(self, settings: PriorSettings) -> None:
        super().__init__()
        self.vocabulary = settings.vocabulary
        self.tokens = settings.tokens
        self.table = torch.nn.Embedding(len(self.vocabulary) + 1, settings.unet.context)

    def forward(self, sets: Sequence[Sequence[int]]) -> torch.Tensor:
        """Embed n sets of tag ids, (n, tokens, channels); surplus tags are left out."""
        nothing = len(self.vocabulary)
        rows = torch.full((len(sets), self.tokens), nothing)
        for row, ids in zip(rows, sets, strict=True):
            kept = sorted(ids)[: self.tokens]
            if kept and not 0 <= kept[0] <= kept[-1] < nothing:
                raise ConfigError(f"tags {kept}: the vocabulary has the ids 0 to {nothing - 1}")
            row[: len(kept)] = torch.tensor(kept, dtype=torch.long)
        embedded: torch.Tensor = self.table(rows.to(self.table.weight.device))
        return embedded


class Prior(torch.nn.Module):
    """The denoising network and its tag embedder: the content of `prior.safetensors`.

    Attributes:
        scale: of its latents, over those of the autoencoder.
    """

    def __init__(self, settings: PriorSettings, seed: int) -> None:
        super().__init__()
        self.settings = settings
        self.scale = LatentScale.same(settings.unet.latent)
        self.unet = build_unet(settings.unet, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 1)
            self.embedder = TagEmbedder(settings)


def load_prior(path: Path) -> Prior:
    """Load a prior with a tag embedder; ModelError naming file and tensor."""
    prior, settings, metadata = load_built(path, PriorSettings, Prior)
    prior.scale = LatentScale.read(path, metadata, settings.unet.latent)
    prior.unet.register_to_config(prediction_type=read_prediction(path, metadata))
    return prior


def read_prediction(path: Path, metadata: Mapping[str, Any]) -> str:
    """Output of a prior's network; ModelError where it is none of `PREDICTIONS`."""
    predict = metadata.get("prediction", PREDICTIONS[0])
    if predict not in PREDICTIONS:
        raise ModelError(f"{path}: prediction is {predict!r}, not {' or '.join(PREDICTIONS)}")
    return str(predict)


def read_settings(path: Path, metadata: Mapping[str, Any]) -> PriorSettings:
    """Settings of a prior's file; ModelError where its metadata is incomplete."""
    try:
        return PriorSettings.read(metadata.get("network"))
    except ModelError as error:
        raise ModelError(f"{path}: metadata {error}") from error
