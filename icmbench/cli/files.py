"""Files and codecs of the subcommands: reading, checks of output names, errors with file names."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from PIL import Image as PillowImage

from icmbench.cli.arguments import path_if_given
from icmbench.codecs.base import Codec, Image
from icmbench.codecs.registry import codecs
from icmbench.core.devices import resolve_device
from icmbench.core.errors import ConfigError, IcmbenchError, ImageError
from icmbench.core.images.image_files import read_image

T = TypeVar("T")

# Other suffixes of a codec's files.
ALSO: Final = {
    "jpeg": {"jpeg", "jpe", "jfif"},
    "heic": {"heif", "hif"},
    "jpeg2000": {"jp2", "j2c", "jpc"},
}


def read_picture(path: str) -> Image:
    """Read an image file; print conversions and ignored metadata."""
    image, note = read_image(path)
    if note:
        print(f"{path}: {note}")
    return image


def read_file(path: str) -> bytes:
    """Read a file; ImageError where there is none."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ImageError(f"{path}: is a directory") from None


def named(path: str, task: Callable[[], T]) -> T:
    """The task's value; its errors get the file's name in front."""
    try:
        return task()
    except IcmbenchError as error:
        raise type(error)(f"{path}: {error}") from error


def check_output(given: str, output: str) -> None:
    """Refuse an output file that is the input."""
    if os.path.exists(output) and os.path.exists(given) and os.path.samefile(given, output):
        raise ConfigError(f"{output}: the output would replace the input")


def check_suffix(output: str, codec: type[Codec], extension: str) -> None:
    """Refuse a name of another image format: such a file would mislead every other program."""
    suffix = Path(output).suffix.lower().lstrip(".")
    known = {c.extension for c in codecs().values()}.union(*ALSO.values())
    known |= {name.lstrip(".") for name in PillowImage.registered_extensions()}
    if suffix in known - {codec.extension} - ALSO.get(codec.name, set()):
        raise ConfigError(
            f"{output}: a file of codec {codec.name} is not a .{suffix}; try .{extension}"
        )


def load_codec(codec: type[Codec], arguments: Namespace) -> Codec:
    """Make the codec with the options `--models` and `--device`."""
    device = resolve_device(arguments.device) if codec.uses_device else "cpu"
    return codec(models=path_if_given(arguments.models), device=device)
