"""Codecs whose streams and reconstructions were made elsewhere.

There is nothing to encode: the encoding job takes the reconstructions as they are into its archive,
with the sizes of their streams in its status table (`icmbench.evaluation.imported`). "Decoding" a
member of that archive reads the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from icmbench.codecs.base import Codec, Image, Key
from icmbench.codecs.external import NOT_OURS
from icmbench.codecs.external.definitions import Definition
from icmbench.codecs.external.folder_files import files_digest, results_folder
from icmbench.codecs.external.picture_files import read_rgb
from icmbench.core.errors import CodecError, CorruptStream, ImageError


class FolderCodec(Codec):
    """A codec made of a definition by `make`."""

    definition: ClassVar[Mapping[str, Any] | None] = None
    extension = "picture"  # of members of the archive
    encode_keys = {"point": Key(str, help="folder of the operating point")}
    foreign = True
    path: ClassVar[Path]

    @classmethod
    def unavailable(cls) -> str:
        """Return the reason where the folder is missing."""
        return "" if cls.path.is_dir() else f"path: {cls.path} is not a folder"

    @classmethod
    def state(cls) -> str:
        """Return a digest of the files' names, sizes and times."""
        return files_digest(cls.path)

    def encode(self, image: Image, **keys: Any) -> bytes:
        """Raise CodecError: the reconstructions of a folder were made elsewhere."""
        raise CodecError(f"{self.name} is a folder of results: it encodes nothing")

    def decode(self, stream: bytes, **keys: Any) -> Image:
        """Read a reconstruction; CorruptStream where it is no picture of 8-bit RGB."""
        try:
            return read_rgb(stream)
        except ImageError as error:
            raise CorruptStream(str(error)) from error


def make(definition: Definition) -> type[FolderCodec]:
    """The codec of a definition."""
    name, path = definition["name"], results_folder(definition)
    return type(
        "".join(part.capitalize() for part in name.split("-")),
        (FolderCodec,),
        {
            "__module__": __name__,
            "__doc__": f"The results of `{name}`, made elsewhere.",
            "name": name,
            "title": definition["title"] or name,
            "settings": f"{NOT_OURS}: {definition['settings'] or f'results in {path}'}",
            "definition": definition,
            "path": path,
        },
    )
