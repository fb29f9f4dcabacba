"""The commands of a definition, checked: templates, keys, formats, programs and their versions."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from icmbench.codecs.base import SEED, Key
from icmbench.codecs.external.definitions import Definition
from icmbench.codecs.external.picture_files import PictureFormat, picture_format
from icmbench.codecs.external.size_header import Header
from icmbench.codecs.external.templates import (
    RUN,
    Steps,
    check_names,
    expand,
    fill,
    names_in,
    parse_steps,
    unset,
)
from icmbench.codecs.external.versions import digest_text, find_program, version_text
from icmbench.core.errors import ConfigError

TYPES: Final = {"int": int, "float": float, "text": str}
# Arguments of a codec's methods: a key of the name could not be handed to them.
ARGUMENTS: Final = frozenset({"cls", "image", "self", "stream"})
_CHOICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]*")


@dataclass(frozen=True)
class Commands:
    """The commands of a codec.

    Attributes:
        encode, decode, version: words of the commands, with placeholders.
        encode_keys, decode_keys: keys of its specs.
        input, output: pictures that the encoder reads and the decoder writes.
        header: what precedes the program's file.
    """

    definition: Definition
    encode: Steps
    decode: Steps
    version: Steps
    encode_keys: Mapping[str, Key]
    decode_keys: Mapping[str, Key]
    input: PictureFormat
    output: PictureFormat
    header: Header

    @property
    def padded(self) -> bool:
        """The encoder's picture is padded to even sides."""
        return self.input.halved

    def places(self) -> dict[str, str]:
        """Placeholder -> path of the key `paths`."""
        return {name: expand(path) for name, path in self.definition["paths"].items()}

    def names(self) -> list[str]:
        """The programs, as the commands name them, each once."""
        places = self.places()
        words = [fill(step[:1], places)[0] for step in (*self.encode, *self.decode)]
        return list(dict.fromkeys(words))

    def _fixed_files(self) -> list[str]:
        """The programs, and the files among the words that are the same in every run."""
        places = self.places()
        words = [word for step in (*self.encode, *self.decode) for word in step[1:]]
        fixed = fill([word for word in words if names_in([[word]]) <= {*places}], places)
        files = [word for word in fixed if Path(word).is_file() and os.path.isabs(word)]
        return list(dict.fromkeys([*self.names(), *files]))

    def missing(self) -> str:
        """The reason why they cannot run here, or an empty text."""
        for path in self.definition["paths"].values():
            if variables := unset(path):
                return f"set the environment variable {variables[0]} (docs/external-codecs.md)"
        for program in self.names():
            if find_program(program) is None:
                package = self.definition["debian"].get(program)
                where = "is no program" if "/" in program else "is not on PATH"
                hint = f"; Debian has it in the package {package}" if package else ""
                return f"the program {program} {where}{hint}"
        for file in fill(self.definition["files"], self.places()):
            if not Path(file).exists() and find_program(file) is None:
                return f"the file {file} is missing"
        return ""

    def state(self) -> str:
        """The versions, and digests of the files that they need, such as configurations."""
        files = fill(self.definition["files"], self.places())
        return "; ".join(
            [self.versions(), *(digest_text(file) for file in files if find_program(file) is None)]
        )

    def versions(self) -> str:
        """Versions as the programs state them; digests where no command asks for them.

        Digests are those of the programs and of files that the commands name, such as scripts.
        """
        if not self.version:
            return "; ".join(map(digest_text, self._fixed_files()))
        line, places = self.definition["version_line"], self.places()
        texts = [version_text(fill(words, places), line) for words in self.version]
        return "; ".join(dict.fromkeys(texts))

    def facts(self) -> dict[str, Any]:
        """Paths, versions and command lines, of JSON types."""
        return {
            "programs": {name: find_program(name) for name in self.names()},
            "version": self.versions(),
            "encode": [shlex.join(words) for words in self.encode],
            "decode": [shlex.join(words) for words in self.decode],
            "paths": self.places(),
        }


def read_commands(definition: Definition) -> Commands:
    """The commands of a definition.

    Raises ConfigError for an unknown placeholder, a key that no command or both use, commands
    without {input} or {output}, and formats that do not exist.
    """
    keys = {name: _key(name, rule) for name, rule in definition["keys"].items()}
    places, formats = definition["paths"], definition["formats"]
    steps = {what: parse_steps(what, definition[what]) for what in ("encode", "decode")}
    for name in {**keys, **places}:
        if name in {*RUN, *ARGUMENTS, SEED} or (name in keys and name in places):
            raise ConfigError(f"{name}: the name is taken: rename the key or the path")
    for what, found in steps.items():
        check_names(what, found, [*RUN, *keys, *places])
        check_names(f"{what}: the program", tuple(step[:1] for step in found), places)
        if absent := {"input", "output"} - names_in(found):
            raise ConfigError(f"{what}: no {{{min(absent)}}} in it: the file would not be found")
    version = parse_steps("version", definition["version"]) if "version" in definition else ()
    check_names("version", version, places)
    check_names("files", tuple((file,) for file in definition["files"]), places)
    _check_pattern(definition["version_line"])
    groups = {
        what: {n: k for n, k in keys.items() if n in names_in(s)} for what, s in steps.items()
    }
    for name in keys:
        used = [what for what in steps if name in groups[what]]
        if not used:
            raise ConfigError(f"keys: {name} is used neither in encode nor in decode")
        if len(used) > 1:
            raise ConfigError(
                f"decode: {{{name}}} is a key of encode; a decoder gets the file alone"
            )
    source, target = (picture_format(formats[what], formats) for what in ("input", "output"))
    if formats["matrix"] == "gbr" and (source.halved or target.halved):
        raise ConfigError("formats: gbr has no chroma planes: 4:2:0 needs another matrix")
    header: Header = "parity" if source.halved else "none"
    if target.kind == "yuv" or {"width", "height"} & names_in(steps["decode"]):
        header = "size"
    return Commands(
        definition, steps["encode"], steps["decode"], version, groups["encode"], groups["decode"],
        source, target, header,
    )  # fmt: skip


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"version_line: {error}: {pattern}") from None


def _key(name: str, rule: str | Mapping[str, Any]) -> Key:
    """A key of specs; texts need choices, since they stand in names of files."""
    given: dict[str, Any] = {"type": rule} if isinstance(rule, str) else dict(rule)
    kind = TYPES[given.pop("type")]
    options = given.pop("choices", ())
    if kind is str and not options:
        raise ConfigError(f"keys.{name}: a text has choices")
    if kind is str and {"low", "high"} & {*given}:
        raise ConfigError(f"keys.{name}: low and high are of numbers")
    choices = tuple(Key(kind).convert(f"keys.{name}.choices", option) for option in options)
    for choice in choices if kind is str else ():
        if not _CHOICE.fullmatch(str(choice)):
            raise ConfigError(
                f"keys.{name}.choices: {choice!r}: it stands in names of files: letters, digits, "
                "'.', '_', ':', '+' and '-'"
            )
    key = Key(kind, None, given.get("low"), given.get("high"), choices, given.get("help", ""))
    if "default" not in given:
        return key
    default = key.convert(f"keys.{name}.default", given["default"])
    return Key(kind, default, key.low, key.high, choices, key.help)
