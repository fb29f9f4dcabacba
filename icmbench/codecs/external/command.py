"""Codecs that run programs: a command template encodes, another decodes.

The stream is the program's file, behind a header (`size_header`) where it needs one. A decoding
gets that file alone: its command has no keys of the encoding.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from icmbench.codecs.base import Codec, Image, Key, Value, check_image, format_value
from icmbench.codecs.external.command_keys import Commands, read_commands
from icmbench.codecs.external.definitions import Definition
from icmbench.codecs.external.picture_files import read_picture, write_picture
from icmbench.codecs.external.run_program import run_program
from icmbench.codecs.external.size_header import WORDS, split_header, write_header
from icmbench.codecs.external.templates import Steps, fill
from icmbench.core.errors import CodecError, ConfigError, TruncatedStream


class CommandCodec(Codec):
    """A codec made of a definition by `make`."""

    definition: ClassVar[Definition]
    commands: ClassVar[Commands]

    @classmethod
    def file_extension(cls, **keys: Any) -> str:
        """Return the suffix, or `<suffix>-sized` for files that other programs cannot read."""
        return cls.extension + ("-sized" if cls.commands.header != "none" else "")

    @classmethod
    def unavailable(cls) -> str:
        """Return the reason where a program, a file or an environment variable is missing."""
        return cls.commands.missing()

    @classmethod
    def state(cls) -> str:
        """Return the versions of its programs, and digests of the files that they need."""
        return cls.commands.state()

    @classmethod
    def programs(cls) -> dict[str, Any]:
        """Return paths, versions and command lines of its programs."""
        return cls.commands.facts()

    def encode(self, image: Image, **keys: Value) -> bytes:
        """Encode an image; CodecError with the last words of a program that fails."""
        height, width = check_image(image).shape[:2]
        commands = self.commands
        padded = _even(image) if commands.input.halved else image
        size = (padded.shape[1], padded.shape[0])
        with _Folder() as folder:
            source = folder.path / f"input.{commands.input.kind}"
            target = folder.path / f"stream.{self.extension}"
            write_picture(source, padded, commands.input)
            texts = self._texts(commands.encode_keys, keys)
            self._run(commands.encode, folder, source, target, size, texts)
            data = target.read_bytes()
        if not data:
            raise CodecError(f"{self.name}: the encoder's file is empty")
        return write_header(commands.header, width, height) + data

    def decode(self, stream: bytes, **keys: Value) -> Image:
        """Decode a stream; CodecError with the last words of a program that fails."""
        commands = self.commands
        (right, below), data = split_header(commands.header, stream)
        if not data:
            raise TruncatedStream(f"the stream of {self.name} is empty")
        sized = commands.header == "size"
        size = (right, below)
        if commands.padded:
            size = (right + right % 2, below + below % 2)
        with _Folder() as folder:
            source = folder.path / f"stream.{self.extension}"
            target = folder.path / f"output.{commands.output.kind}"
            source.write_bytes(data)
            texts = self._texts(commands.decode_keys, keys)
            program = self._run(commands.decode, folder, source, target, size, texts)
            picture = read_picture(target, commands.output, program, size if sized else None)
        if sized:
            if picture.shape[:2] != (size[1], size[0]):
                found = f"{picture.shape[1]}x{picture.shape[0]}"
                raise CodecError(
                    f"{program} wrote {found} pixels, expected are {size[0]}x{size[1]}"
                )
            return picture[:below, :right]
        return picture[: picture.shape[0] - below, : picture.shape[1] - right]

    def _texts(self, rules: Mapping[str, Key], keys: Mapping[str, Value]) -> dict[str, str]:
        """Texts of all keys; ConfigError where one without a default is not given."""
        found = {name: keys.get(name, rule.default) for name, rule in rules.items()}
        for name, value in found.items():
            if value is None:
                raise ConfigError(f"codec {self.name} needs {name}: {rules[name].legal()}")
        return {name: format_value(value) for name, value in found.items() if value is not None}

    def _run(
        self,
        steps: Steps,
        folder: _Folder,
        source: Path,
        target: Path,
        size: tuple[int, int],
        texts: Mapping[str, str],
    ) -> str:
        """Run the steps, and return the last one's program; CodecError where it writes no file."""
        values = {
            **self.commands.places(),
            **texts,
            "input": source,
            "output": target,
            "width": size[0],
            "height": size[1],
            "threads": os.environ.get("OMP_NUM_THREADS", "1"),  # of the codec process
            "tmp": folder.work,
        }
        if reason := self.unavailable():
            raise CodecError(reason)
        for words in steps:
            command = fill(words, values)
            said = run_program(command, folder.work, self.definition["memory_mb"])
        program = Path(command[0]).name
        if not target.is_file():
            raise CodecError(f"{program} ended without an error and wrote no file{said}")
        return program


def make(definition: Definition) -> type[CommandCodec]:
    """The codec of a definition; ConfigError where its templates and keys do not fit together."""
    commands = read_commands(definition)
    name = definition["name"]
    needed = [key for key, rule in commands.encode_keys.items() if rule.default is None]
    parts = [
        definition["settings"] or "commands of the configuration",
        f"encoder reads {commands.input}",
        f"decoder writes {commands.output}",
        WORDS[commands.header],
    ]
    return type(
        "".join(part.capitalize() for part in name.split("-")),
        (CommandCodec,),
        {
            "__module__": __name__,
            "__doc__": f"The command codec `{name}`.",
            "name": name,
            "title": definition["title"] or name,
            "extension": definition["extension"],
            "encode_keys": commands.encode_keys,
            "decode_keys": commands.decode_keys,
            "rate_key": needed[0] if len(needed) == 1 else None,
            "settings": "; ".join(filter(None, parts)),
            "lossless": definition["lossless"],
            "definition": definition,
            "commands": commands,
        },
    )


class _Folder:
    """A folder of one run: files beside an empty folder in which programs run."""

    def __init__(self) -> None:
        # A program may have left others behind that still write: the process's folder goes, too.
        self._holder = tempfile.TemporaryDirectory(prefix="icmbench-", ignore_cleanup_errors=True)

    def __enter__(self) -> _Folder:
        self.path = Path(self._holder.__enter__())
        self.work = self.path / "work"
        self.work.mkdir()
        return self

    def __exit__(self, *error: Any) -> None:
        self._holder.__exit__(*error)


def _even(image: Image) -> Image:
    """The image with its last column and row repeated where the side is odd."""
    import numpy as np

    height, width = image.shape[:2]
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
