"""The tagger of the bundled prior: multi-label classification of a latent, in the encoder only.

Its input is the latent of the encoder, at 1/8 of the image's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from icmbench.core.errors import ModelError
from icmbench.models.settings import NetworkSettings
from icmbench.models.tensors import load_built

MAX_TAGS = 12  # per image: those of highest score
THRESHOLD = 0.5


@dataclass(frozen=True)
class TaggerSettings(NetworkSettings):
    """Size of the tagger.

    Attributes:
        vocabulary: names of the tags, as the prior's.
        latent: channels of the latent.
        channels: of its stages, at 1/8, 1/16 and 1/32 of the image.
    """

    vocabulary: tuple[str, ...]
    latent: int = 4
    channels: tuple[int, ...] = (32, 64, 96)


class Tagger(torch.nn.Module):
    """Convolutions, then mean and maximum over the image, then one score per tag."""

    def __init__(self, settings: TaggerSettings) -> None:
        super().__init__()
        layers: list[torch.nn.Module] = []
        before = settings.latent
        for index, count in enumerate(settings.channels):
            layers += [torch.nn.Conv2d(before, count, 3, 2 if index else 1, 1), torch.nn.SiLU()]
            layers += [torch.nn.Conv2d(count, count, 3, 1, 1), torch.nn.SiLU()]
            before = count
        self.stages = torch.nn.Sequential(*layers)
        self.scores = torch.nn.Linear(2 * before, len(settings.vocabulary))

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """Logits (n, tags) of standardised latents (n, C, h, w)."""
        features = self.stages(latent)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)
        scores: torch.Tensor = self.scores(pooled)
        return scores


def build_tagger(settings: TaggerSettings, seed: int) -> Tagger:
    """An untrained tagger whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Tagger(settings)


def chosen_tags(logits: torch.Tensor) -> tuple[int, ...]:
    """Ids of the tags of one image, ascending: at most `MAX_TAGS` above the threshold."""
    scores = torch.sigmoid(logits)
    best = torch.argsort(scores, descending=True, stable=True)[:MAX_TAGS]
    return tuple(sorted(int(i) for i in best if float(scores[i]) > THRESHOLD))


def load_tagger(path: Path, vocabulary: Sequence[str]) -> Tagger:
    """The tagger of a file; ModelError where its tags are not those of the prior."""
    tagger, settings, _ = load_built(path, TaggerSettings, build_tagger)
    if settings.vocabulary != tuple(vocabulary):
        raise ModelError(f"{path}: its tags are not those of the prior")
    return tagger
