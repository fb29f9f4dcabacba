"""RAM++ at a small size, and its checkpoint in the published format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from icmbench.codecs.diff_icmh.networks.ram_plus import RamPlus, RamPlusSettings, build_ram_plus

State = dict[str, torch.Tensor]
Shapes = dict[str, tuple[int, ...]]

SETTINGS = RamPlusSettings(
    tags=3,
    descriptions=5,
    clip=8,
    channels=8,
    depths=(2, 2),
    heads=(2, 4),
    window=4,
    hidden=12,
    feed_forward=16,
    layers=2,
    decoder_heads=4,
)
DERIVED = ("relative_position_index", "attn_mask")


def published_shapes(s: RamPlusSettings) -> Shapes:
    """Names and shapes of RAM++'s state, by the rules of its modules (not by the importer's)."""

    def layer(name: str, rows: int, columns: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.weight", (rows, columns)
        yield f"{name}.bias", (rows,)

    def norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.weight", (width,)
        yield f"{name}.bias", (width,)

    area = s.window**2
    swin, embed = "visual_encoder.", "visual_encoder.patch_embed."
    found: Shapes = {
        f"{embed}proj.weight": (s.channels, 3, 4, 4),
        f"{embed}proj.bias": (s.channels,),
    }
    found |= norm(f"{embed}norm", s.channels)
    last = len(s.depths) - 1
    for stage, (depth, heads) in enumerate(zip(s.depths, s.heads, strict=True)):
        width, count = s.channels * 2**stage, 2 ** (last - stage)
        for number in range(depth):
            block = f"{swin}layers.{stage}.blocks.{number}."
            found |= norm(f"{block}norm1", width)
            found[f"{block}attn.relative_position_bias_table"] = ((2 * s.window - 1) ** 2, heads)
            found[f"{block}attn.relative_position_index"] = (area, area)
            if number % 2 and count > 1:
                found[f"{block}attn_mask"] = (count**2, area, area)
            found |= layer(f"{block}attn.qkv", 3 * width, width)
            found |= layer(f"{block}attn.proj", width, width)
            found |= norm(f"{block}norm2", width)
            found |= layer(f"{block}mlp.fc1", 4 * width, width)
            found |= layer(f"{block}mlp.fc2", width, 4 * width)
        if stage < last:
            down = f"{swin}layers.{stage}.downsample."
            found[f"{down}reduction.weight"] = (2 * width, 4 * width)
            found |= norm(f"{down}norm", 4 * width)
    width = s.channels * 2**last
    found |= norm(f"{swin}norm", width)
    for number in range(s.layers):
        block = f"tagging_head.encoder.layer.{number}."
        found |= layer(f"{block}crossattention.self.query", s.hidden, s.hidden)
        for name in ("key", "value"):
            found |= layer(f"{block}crossattention.self.{name}", s.hidden, s.clip)
        found |= layer(f"{block}crossattention.output.dense", s.hidden, s.hidden)
        found |= norm(f"{block}crossattention.output.LayerNorm", s.hidden)
        found |= layer(f"{block}intermediate.dense", s.feed_forward, s.hidden)
        found |= layer(f"{block}output.dense", s.hidden, s.feed_forward)
        found |= norm(f"{block}output.LayerNorm", s.hidden)
    found |= layer("wordvec_proj", s.hidden, s.clip)
    found |= layer("fc", 1, s.hidden)
    found |= layer("image_proj", s.clip, width)
    found["label_embed"] = (s.tags * s.descriptions, s.clip)
    found["reweight_scale"] = ()
    return found


def index_of(window: int) -> torch.Tensor:
    """Row of the bias table for every pair of places in a window, by the definition."""
    places = [(row, column) for row in range(window) for column in range(window)]
    span = 2 * window - 1
    return torch.tensor(
        [[(a - c + window - 1) * span + (b - d + window - 1) for c, d in places] for a, b in places]
    )


def mask_of(window: int, count: int) -> torch.Tensor:
    """-100 where two places of a shifted window are not neighbours in the image."""
    side, shift = window * count, window // 2

    def before(place: int) -> int:
        return (place + shift) % side  # where it lay before the shift

    rows = []
    for top in range(0, side, window):
        for left in range(0, side, window):
            cells = [(top + r, left + c) for r in range(window) for c in range(window)]
            old = [(before(r), before(c)) for r, c in cells]
            # What was shifted together keeps its distances.
            rows.append(
                [
                    [
                        0.0
                        if all(x - y == u - v for x, y, u, v in zip(p, q, a, b, strict=True))
                        else -100.0
                        for q, b in zip(cells, old, strict=True)
                    ]
                    for p, a in zip(cells, old, strict=True)
                ]
            )
    return torch.tensor(rows)


def tiny_state(seed: int = 1, s: RamPlusSettings = SETTINGS) -> State:
    """Random tensors under the published names, derived ones as they are computed."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in published_shapes(s).items():
        if name.endswith("relative_position_index"):
            state[name] = index_of(s.window)
        elif name.endswith("attn_mask"):
            state[name] = mask_of(s.window, round(shape[0] ** 0.5))
        else:
            state[name] = torch.randn(shape, generator=generator) * 0.4
            if name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "LayerNorm.weight")):
                state[name] += 1
    return state


def checkpoint(state: State) -> dict[str, Any]:
    """The content of RAM++'s own file: its training saves the optimiser's state, too."""
    trained = [name for name in state if not name.endswith(DERIVED) and name != "label_embed"]
    moments = {
        number: {
            "step": torch.tensor(7.0),
            "exp_avg": torch.zeros_like(state[name]),
            "exp_avg_sq": torch.zeros_like(state[name]),
        }
        for number, name in enumerate(trained)
    }
    groups = [{"lr": 1e-6, "betas": (0.9, 0.999), "params": list(moments)}]
    return {
        "model": state,
        "optimizer": {"state": moments, "param_groups": groups},
        "config": {"image_size": 384, "vit": "swin_l"},
        "epoch": 4,
    }


def meta_network(s: RamPlusSettings) -> RamPlus:
    """The network of these sizes without memory."""
    with torch.device("meta"):
        return build_ram_plus(s, seed=0)
