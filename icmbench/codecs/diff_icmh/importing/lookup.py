"""Inverse of `rename`: published name of one of our tensors, for error messages.

The inverse is a table, made by renaming every tensor name that a published checkpoint can have.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Final

from icmbench.codecs.diff_icmh.importing.names import (
    LAYERS,
    PREFIXES,
    RESNET,
    TEXT_BLOCK,
    TEXT_BLOCKS,
    TEXT_ENDS,
    TRANSFORMER,
    UNET_ENDS,
    Target,
)
from icmbench.codecs.diff_icmh.importing.rename import rename
from icmbench.models.ldm import ldm_names

BLOCKS: Final = 24  # of a UNet's encoder or decoder, at most: twice Stable Diffusion's
LEAVES: Final = ("weight", "bias")


def published_name(part: str, name: str) -> str:
    """Published name of a part's tensor; without one, the part and our own name."""
    if part == "codec":  # our names are the published ones
        return f"{PREFIXES[part]}{name}"
    return _names().get((part, name), f"{part} {name}")


@functools.cache
def _names() -> Mapping[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for key in _candidates():
        targets = rename(key)
        if isinstance(targets, tuple):
            for target in targets:
                assert isinstance(target, Target)
                found.setdefault((target.part, target.name), key)
    return found


def _candidates() -> Iterator[str]:
    for name in _unet():
        yield PREFIXES["prior"] + name
        yield f"{PREFIXES['control']}control_model.{name}"
    for side, number, leaf in product(("enc", "dec"), range(BLOCKS), LEAVES):
        yield f"{PREFIXES['control']}{side}_zero_convs_out.{number}.0.{leaf}"
    for leaf in LEAVES:
        yield f"{PREFIXES['control']}middle_block_out.0.{leaf}"
    for name in ldm_names():
        yield PREFIXES["autoencoder"] + name
    for name in _text():
        yield PREFIXES["text"] + name


def _unet() -> Iterator[str]:
    inner = [*RESNET, *TRANSFORMER, "op", "conv"]
    modules = [
        f"{side}.{number}.{place}.{name}"
        for side, number in product(("input_blocks", "output_blocks"), range(BLOCKS))
        # An upsampling layer has index 2 after an attention layer, else 1; only the blocks of the
        # deepest level, the first ones, have no attention.
        for place in ((0, 1, 2) if number <= LAYERS else (0, 2, 1))
        for name in inner
    ]
    modules += [f"middle_block.{place}.{name}" for place, name in product(range(3), inner)]
    for module, leaf in product([*UNET_ENDS, *modules], LEAVES):
        yield f"{module}.{leaf}"


def _text() -> Iterator[str]:
    yield from TEXT_ENDS
    for number, leaf in product(range(TEXT_BLOCKS), LEAVES):
        block = f"transformer.resblocks.{number}"
        yield f"{block}.attn.in_proj_{leaf}"
        yield from (f"{block}.{name}.{leaf}" for name in TEXT_BLOCK)
