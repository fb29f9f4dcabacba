"""RAM++, the tagger of the published Diff-ICMH (Huang et al. 2023, arXiv 2310.15200): inference.

A Swin transformer and a projection give image tokens and their mean, all in CLIP's space. Every tag
has several descriptions as CLIP text vectors; the mean token weights them. The weighted sums are
the queries of two cross-attention blocks over the tokens (Liu et al. 2021, Query2Label), and one
linear layer gives a score per tag.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.swin_transformer import ShiftedWindowAttention, SwinTransformer

from icmbench.models.settings import NetworkSettings

KIND: Final = "ram-plus"  # in the settings of a weight file
PATCH: Final = 4  # pixels of a side of Swin's patches
# Mean and standard deviation of ImageNet's red, green and blue, in units of 0 to 1.
MEAN: Final = (0.485, 0.456, 0.406)
STD: Final = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class RamPlusSettings(NetworkSettings):
    """Sizes of RAM++; the defaults are the published ones.

    Attributes:
        kind: `KIND`.
        tags: number of tags.
        descriptions: of every tag.
        clip: channels of CLIP's vectors.
        channels: of Swin's first stage; every further stage has twice as many.
        depths, heads: blocks and attention heads of Swin's stages.
        window: side of Swin's windows, in tokens. The last stage is one window, which makes the
            input `image` pixels a side.
        hidden, feed_forward: channels of the decoder and of its feed-forward layers.
        layers, decoder_heads: blocks of the decoder and their attention heads.
    """

    kind: str = KIND
    tags: int = 4585
    descriptions: int = 51
    clip: int = 512
    channels: int = 192
    depths: tuple[int, ...] = (2, 2, 18, 2)
    heads: tuple[int, ...] = (6, 12, 24, 48)
    window: int = 12
    hidden: int = 768
    feed_forward: int = 3072
    layers: int = 2
    decoder_heads: int = 4

    def __post_init__(self) -> None:
        if self.kind != KIND:
            raise ValueError(f"kind is {self.kind!r}, expected {KIND}")
        if not self.depths or len(self.depths) != len(self.heads):
            raise ValueError(f"{len(self.depths)} stages with heads of {len(self.heads)}")
        widths = [(self.stage_channels(stage), heads) for stage, heads in enumerate(self.heads)]
        for width, heads in [*widths, (self.hidden, self.decoder_heads)]:
            if heads < 1 or width % heads:
                raise ValueError(f"{width} channels in {heads} heads")

    def stage_channels(self, stage: int) -> int:
        """Channels of a stage of Swin, counted from 0."""
        return self.channels << stage

    def stage_windows(self, stage: int) -> int:
        """Windows along a side of a stage of Swin, counted from 0."""
        return 1 << (len(self.depths) - 1 - stage)

    @property
    def image(self) -> int:
        """Side of the input in pixels."""
        return PATCH * self.window * self.stage_windows(0)


class RamPlus(nn.Module):
    """Tagger of images; `thresholds` (tags) are the least scores of tags that are chosen."""

    thresholds: Tensor

    def __init__(self, settings: RamPlusSettings) -> None:
        super().__init__()
        self.settings = settings
        self.swin = _swin(settings)
        width = settings.stage_channels(len(settings.depths) - 1)
        self.image_proj = nn.Linear(width, settings.clip)
        self.label_embed = nn.Parameter(
            torch.zeros(settings.tags * settings.descriptions, settings.clip)
        )
        self.reweight_scale = nn.Parameter(torch.zeros(()))  # logarithm of the factor
        self.wordvec_proj = nn.Linear(settings.clip, settings.hidden)
        self.decoder = nn.ModuleList(CrossBlock(settings) for _ in range(settings.layers))
        self.fc = nn.Linear(settings.hidden, 1)
        self.register_buffer("thresholds", torch.zeros(settings.tags))

    def forward(self, images: Tensor) -> Tensor:
        """Scores (n, tags) before the sigmoid, of normalised images (n, 3, `image`, `image`)."""
        tokens = self.swin(images).flatten(1, 2)
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)
        tokens = self.image_proj(tokens)
        descriptions = self.label_embed.view(self.settings.tags, self.settings.descriptions, -1)
        labels = reweighted(descriptions, tokens[:, 0], self.reweight_scale)
        queries = functional.relu(self.wordvec_proj(labels))
        for block in self.decoder:
            queries = block(queries, tokens)
        scores: Tensor = self.fc(queries).squeeze(-1)
        return scores

    def prepared(self, pixels: Tensor) -> Tensor:
        """Resize and normalise pixels (n, 3, H, W) from 0 to 1, as the published codec does.

        The published codec interpolates bilinearly without a low-pass filter (RAM++'s own example
        resizes with one).
        """
        side = self.settings.image
        pixels = functional.interpolate(pixels, (side, side), mode="bilinear", align_corners=False)
        mean, std = (pixels.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        return (pixels.clamp(0, 1) - mean) / std

    def chosen(self, scores: Tensor) -> tuple[int, ...]:
        """Ids of the tags of one image, ascending: sigmoid of the score above the threshold."""
        above = torch.sigmoid(scores) > self.thresholds
        return tuple(above.nonzero().flatten().tolist())


def reweighted(descriptions: Tensor, image: Tensor, log_scale: Tensor) -> Tensor:
    """One vector per tag and image: descriptions weighted by their likeness to the image.

    The weights are the softmax, over a tag's descriptions, of e^log_scale times the inner product
    with the image's vector of length 1 (arXiv 2310.15200, re-weighting of tag descriptions).

    Args:
        descriptions: (tags, descriptions, C).
        image: (n, C).

    Returns:
        (n, tags, C).
    """
    direction = image / image.norm(dim=-1, keepdim=True)
    likeness = log_scale.exp() * torch.einsum("nc,tdc->ntd", direction, descriptions)
    return torch.einsum("ntd,tdc->ntc", likeness.softmax(-1), descriptions)


class CrossBlock(nn.Module):
    """Cross-attention and a feed-forward layer, each followed by its norm (as in BERT)."""

    def __init__(self, settings: RamPlusSettings) -> None:
        super().__init__()
        width = settings.hidden
        self.heads = settings.decoder_heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(settings.clip, width)
        self.value = nn.Linear(settings.clip, width)
        self.attended = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.inner = nn.Linear(width, settings.feed_forward)
        self.outer = nn.Linear(settings.feed_forward, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Queries (n, tags, hidden) after attention to tokens (n, count, clip)."""
        parts = (self.query(queries), self.key(tokens), self.value(tokens))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        found = functional.scaled_dot_product_attention(q, k, v)
        queries = self.norm1(queries + self.attended(found.transpose(1, 2).flatten(2)))
        changed: Tensor = self.norm2(queries + self.outer(functional.gelu(self.inner(queries))))
        return changed


def _swin(settings: RamPlusSettings) -> nn.Module:
    """Swin's stages and last norm: images (n, 3, H, W) to tokens (n, H / 32, W / 32, channels)."""
    window: Any = [settings.window, settings.window]
    whole = SwinTransformer(
        patch_size=[PATCH, PATCH],
        embed_dim=settings.channels,
        depths=list(settings.depths),
        num_heads=list(settings.heads),
        window_size=window,
        stochastic_depth_prob=0.0,
        num_classes=1,
    )
    for module in whole.modules():
        if isinstance(module, ShiftedWindowAttention):
            # Weight files do not hold what is counted; on the meta device it is needed, too.
            with torch.device("cpu"):
                module.define_relative_position_index()
            index = module.relative_position_index
            module.register_buffer("relative_position_index", index, persistent=False)
    return nn.Sequential(whole.features, whole.norm)


def build_ram_plus(settings: RamPlusSettings, seed: int) -> RamPlus:
    """An untrained RAM++ whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RamPlus(settings)
