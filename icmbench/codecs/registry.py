"""Registry of all codecs: those of this package and those that other packages register."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING

import icmbench.codecs
import icmbench.codecs.conventional
from icmbench.bitstream import container
from icmbench.codecs.base import SEED, Codec
from icmbench.core.errors import ConfigError, CorruptStream, UnsupportedVersion
from icmbench.core.registry import discover
from icmbench.core.suggest import unknown

if TYPE_CHECKING:
    from icmbench.training.section import TrainingSection

ENTRY_POINTS = "icmbench.codecs"


@functools.cache
def codecs() -> dict[str, type[Codec]]:
    """Return every codec class, by name, sorted."""
    found = discover([icmbench.codecs, icmbench.codecs.conventional], Codec, ENTRY_POINTS, "name")  # type: ignore[type-abstract]
    owner: dict[int, str] = {}
    for name, codec in found.items():
        if codec.codec_id is not None and owner.setdefault(codec.codec_id, name) != name:
            raise ConfigError(f"codec id {codec.codec_id}: {owner[codec.codec_id]} and {name}")
        if SEED in {*codec.encode_keys, *codec.cut_keys}:
            raise ConfigError(f"codec {name}: the key {SEED} is of stochastic decoders: rename it")
    return found


def codec_class(name: str) -> type[Codec]:
    """Return the codec of a name; ConfigError suggests the nearest one."""
    try:
        return codecs()[name]
    except KeyError:
        raise ConfigError(unknown("codec", name, codecs())) from None


@functools.cache
def training_sections() -> tuple[TrainingSection, ...]:
    """The sections that trained codecs add to `training`, each after those that it needs."""
    found = [
        importlib.import_module(codec.training_section, codec.__module__.rpartition(".")[0]).SECTION
        for codec in codecs().values()
        if codec.training_section
    ]
    return tuple(sorted(found, key=lambda section: len(section.needs)))


def recognise(data: bytes) -> type[Codec]:
    """Find the codec that can decode a file, by its first bytes alone.

    Raises CorruptStream where no codec knows the format, UnsupportedVersion where the container
    names a codec that is not installed.
    """
    if data.startswith(container.MAGIC):
        header, _ = container.read_header(data)
        for candidate in codecs().values():
            if candidate.codec_id == header.codec_id:
                return candidate
        raise UnsupportedVersion(f"no codec with id {header.codec_id} is installed")
    for candidate in codecs().values():
        if candidate.recognises(data):
            return candidate
    raise CorruptStream("no installed codec recognises this file")
