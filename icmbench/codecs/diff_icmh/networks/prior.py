"""The bundled prior: a small latent diffusion model that is conditioned on tags.

A tag is a learned vector; the context of an image is its tags, padded with the vector of `nothing`.
The empty set is legal and is the unconditional input of classifier-free guidance. (Published models
have a text encoder instead: `icmbench.codecs.diff_icmh.text`.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from icmbench.codecs.diff_icmh.networks.unet import UnetSettings, build_unet
from icmbench.core.errors import ConfigError, ModelError
from icmbench.models.settings import NetworkSettings
from icmbench.models.tensors import load_built

# What fits into a few minutes on a CPU: attention only where a cell is 32 pixels wide.
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
        unet: of the denoising network.
        vocabulary: names of the tags; a tag's id is its place.
        tokens: tags that a text holds.
    """

    unet: UnetSettings = SMALL
    vocabulary: tuple[str, ...] = ()
    tokens: int = 12
    kind: str = "tags"


class TagEmbedder(torch.nn.Module):
    """Sets of tags to the text that the denoising network attends to."""

    def __init__(self, settings: PriorSettings) -> None:
        super().__init__()
        self.vocabulary = settings.vocabulary
        self.tokens = settings.tokens
        self.table = torch.nn.Embedding(len(self.vocabulary) + 1, settings.unet.context)

    def forward(self, sets: Sequence[Sequence[int]]) -> torch.Tensor:
        """Text of sets of tag ids, (n, tokens, channels); surplus tags are left out."""
        nothing = len(self.vocabulary)
        rows = torch.full((len(sets), self.tokens), nothing)
        for row, ids in zip(rows, sets, strict=True):
            kept = sorted(ids)[: self.tokens]
            if kept and not 0 <= kept[0] <= kept[-1] < nothing:
                raise ConfigError(f"tags {kept}: the vocabulary has {nothing}")
            row[: len(kept)] = torch.tensor(kept, dtype=torch.long)
        embedded: torch.Tensor = self.table(rows.to(self.table.weight.device))
        return embedded


class Prior(torch.nn.Module):
    """The denoising network and its embedder: what `prior.safetensors` holds."""

    def __init__(self, settings: PriorSettings, seed: int) -> None:
        super().__init__()
        self.settings = settings
        self.unet = build_unet(settings.unet, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 1)
            self.embedder = TagEmbedder(settings)


def load_prior(path: Path) -> Prior:
    """The bundled kind of prior from its file; ModelError naming file and tensor."""
    return load_built(path, PriorSettings, Prior)[0]


def read_settings(path: Path, metadata: Mapping[str, Any]) -> PriorSettings:
    """Settings of a prior's file; ModelError where its metadata is incomplete."""
    try:
        return PriorSettings.read(metadata.get("network"))
    except ModelError as error:
        raise ModelError(f"{path}: metadata {error}") from error
