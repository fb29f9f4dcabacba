"""Registry of all codecs: classes of this package and of others, and definitions without code."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import icmbench.codecs
import icmbench.codecs.conventional
from icmbench.bitstream import container
from icmbench.codecs import external
from icmbench.codecs.base import SEED, Codec
from icmbench.codecs.external.definition_keys import KINDS
from icmbench.codecs.external.definitions import definition_of, own_keys, shipped, shipped_names
from icmbench.core.errors import ConfigError, CorruptStream, UnsupportedVersion
from icmbench.core.registry import discover
from icmbench.core.suggest import unknown

if TYPE_CHECKING:
    from icmbench.training.section import TrainingSection

ENTRY_POINTS = "icmbench.codecs"
_DEFINED: dict[str, tuple[Mapping[str, Any], type[Codec]]] = {}  # in this process, by name


@functools.cache
def codecs() -> dict[str, type[Codec]]:
    """Return every codec class that is code, by name, sorted."""
    found = discover([icmbench.codecs, icmbench.codecs.conventional], Codec, ENTRY_POINTS, "name")  # type: ignore[type-abstract]
    owner: dict[int, str] = {}
    for name, codec in found.items():
        if codec.codec_id is not None and owner.setdefault(codec.codec_id, name) != name:
            raise ConfigError(f"codec id {codec.codec_id}: {owner[codec.codec_id]} and {name}")
        if SEED in {*codec.encode_keys, *codec.cut_keys}:
            raise ConfigError(f"codec {name}: the key {SEED} is of stochastic decoders: rename it")
    return found


def every_codec() -> dict[str, type[Codec]]:
    """Return the codecs of classes and of shipped definitions, by name, sorted."""
    named = {name: codec_class(name) for name in shipped_names()}
    return dict(sorted({**named, **codecs()}.items()))


def codec_class(name: str) -> type[Codec]:
    """Return the codec of a name: a class, one that `define` made, or a shipped definition.

    ConfigError suggests the nearest one.
    """
    if name in codecs():
        return codecs()[name]
    if name in _DEFINED:
        return _DEFINED[name][1]
    if (definition := shipped(name)) is not None:
        return define(definition)
    raise ConfigError(unknown("codec", name, [*codecs(), *shipped_names(), *_DEFINED]))


def define(definition: Mapping[str, Any]) -> type[Codec]:
    """Make the codec of a definition (`external.definitions`) known to this process.

    A later definition of the name takes its place. Raises ConfigError where it is wrong, or where
    its name is that of a class.
    """
    name = definition["name"]
    if name in codecs():
        raise ConfigError(f"{name} is the name of another codec: rename the entry")
    if name not in _DEFINED or _DEFINED[name][0] != definition:
        # By name, so that jobs of other codecs do not depend on its code.
        factory = importlib.import_module(f"{external.__name__}.{definition['kind']}")
        _DEFINED[name] = (definition, factory.make(definition))
    return _DEFINED[name][1]


def codec_of(entries: Mapping[str, Mapping[str, Any]], name: str) -> type[Codec]:
    """Return the codec of an entry of the section `codecs` of a configuration.

    Raises ConfigError for an unknown codec and for a wrong definition.
    """
    codec = entries[name].get("codec", name)
    if codec in codecs():
        if own := own_keys(entries[name]):
            text = f"{', '.join(sorted(own))}: keys of `codec: command` and `codec: folder`"
            raise ConfigError(f"{text}; {codec} is neither")
        return codecs()[codec]
    if (definition := definition_of(entries, name)) is None:
        raise ConfigError(unknown("codec", codec, [*codecs(), *shipped_names(), *KINDS]))
    return define(definition)


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
    text = "no installed codec recognises this file; `icmbench decode --codec` takes its name"
    raise CorruptStream(text)
