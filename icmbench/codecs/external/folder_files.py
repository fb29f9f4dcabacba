"""Files of results made elsewhere: matched with images by their names, sizes read from a table.

    <path>/<point>/<image id>.png        the reconstruction: PNG, PPM, BMP or TIFF
    <path>/<point>/<image id>.<other>    its stream, of which the size alone is taken
    <path>/<point>/bytes.csv             or, instead of streams: image,bytes
    <path>/bytes.csv                     or for all points: point,image,bytes

With a folder of the data set's name below `path`, that one is taken. An id may stand with or
without the suffix of its image; `+` in it may be a folder.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import ConfigError

PICTURES: Final = (".png", ".ppm", ".bmp", ".tif", ".tiff")
IMAGES: Final = (*PICTURES, ".jpg", ".jpeg", ".webp")  # suffixes that ids of images may have
TABLE: Final = "bytes.csv"
POINT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
MOST_BPP: Final = 24  # bits per pixel of the pixels themselves
_COUNT: Final = re.compile(r"0*[1-9][0-9]{0,14}")
_PPM: Final = re.compile(rb"P[56]\s+(\d+)\s+(\d+)\s")


@dataclass(frozen=True)
class Result:
    """A reconstruction, and the bytes of its stream; None: that is missing."""

    picture: Path | None
    bytes: int | None


@dataclass(frozen=True)
class PointResults:
    """Results of one operating point on one data set.

    Attributes:
        found: image id -> its result, of every image asked for.
        left_over: names of files and rows that are of none of the images, sorted.
    """

    found: Mapping[str, Result]
    left_over: tuple[str, ...]

    @property
    def missing(self) -> list[str]:
        """Ids of the images without a reconstruction or without a size."""
        return [i for i, one in self.found.items() if one.picture is None or one.bytes is None]


def results_folder(definition: Mapping[str, Any]) -> Path:
    """The folder of a definition."""
    return Path(os.path.expanduser(definition["path"]))  # else an error where there is no home


def set_folder(path: Path, dataset: str) -> Path:
    """The folder of a data set's points."""
    return path / dataset if (path / dataset).is_dir() else path


def point_folders(path: Path, dataset: str) -> list[str]:
    """Names of the folders that points may name, sorted; ConfigError where `path` is no folder."""
    if not path.is_dir():
        raise ConfigError(f"path: {path} is not a folder")
    return sorted(each.name for each in set_folder(path, dataset).iterdir() if each.is_dir())


def find_results(path: Path, dataset: str, point: str, images: Sequence[str]) -> PointResults:
    """Match the files of a point with images.

    Raises ConfigError naming the file for two files of one image, and for a table of sizes that is
    none: other columns, no whole numbers, or sizes other than those of the streams.
    """
    home = set_folder(path, dataset)
    names = _names(images)
    pictures: dict[str, Path] = {}
    streams: dict[str, Path] = {}
    left_over = []
    for name, file in _files(home / point):
        image = next((names[key] for key in _keys(name) if key in names), None)
        if image is None:
            left_over.append(name)
            continue
        holder = pictures if file.suffix.lower() in PICTURES else streams
        if (other := holder.setdefault(image, file)) != file:
            raise ConfigError(f"{other} and {file} are both of image {image}: remove one")
    sizes, unknown = _sizes(path, home, dataset, point, names)
    for image, file in streams.items():
        length = file.stat().st_size
        if sizes.setdefault(image, length) != length:
            raise ConfigError(
                f"{TABLE} of {point} says {sizes[image]} bytes for {image}, {file} has {length}: "
                "the table holds bytes of the streams"
            )
    found = {image: Result(pictures.get(image), sizes.get(image)) for image in images}
    return PointResults(found, tuple(sorted({*left_over, *unknown})))


def implausible(results: PointResults) -> str:
    """The reason why sizes cannot be bytes of streams, or an empty text.

    That is more bits than the pixels have, or twice the PNG of the reconstruction.
    """
    for image, one in results.found.items():
        if one.picture is None or one.bytes is None:
            continue
        pixels = _pixels(one.picture)
        if pixels and 8 * one.bytes > MOST_BPP * pixels:
            rate = 8 * one.bytes / pixels
            return f"{one.bytes} bytes for {image} are {rate:.0f} bits per pixel: are they bits?"
        stored = one.picture.stat().st_size
        if one.picture.suffix.lower() == ".png" and one.bytes > 2 * stored:
            return f"{one.bytes} bytes for {image}, its PNG has {stored}: are they bits?"
    return ""


def all_of_eight(results: PointResults) -> bool:
    """True where every size is a multiple of 8, of at least four images: they may be bits."""
    sizes = [one.bytes for one in results.found.values() if one.bytes is not None]
    return len(sizes) > 3 and all(size % 8 == 0 for size in sizes)


def files_digest(path: Path) -> str:
    """Digest of names, sizes and times of all files below a folder."""
    digest = hashlib.sha256()
    for file in _below(path):
        stat = file.stat()
        name = file.relative_to(path)
        digest.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode("utf-8", "replace"))
    return digest.hexdigest()[:16]


def _below(folder: Path) -> list[Path]:
    """All files below a folder, sorted; folders that are links are followed, each once."""
    files, seen = [], set()
    for here, folders, names in os.walk(folder, followlinks=True):
        stat = os.stat(here)
        if (stat.st_dev, stat.st_ino) in seen:
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        folders.sort()  # so that it is always the same one of two that are visited
        files += [file for name in names if (file := Path(here, name)).is_file()]
    return sorted(files)


def _names(images: Sequence[str]) -> dict[str, str]:
    """Name of a file without suffix -> image id."""
    names = {image: image for image in images}
    for image in images:
        if names.setdefault(_bare(image), image) != image:
            raise ConfigError(
                f"the images {names[_bare(image)]} and {image} have one name: their results cannot "
                "be told apart; rename one"
            )
    return names


def _bare(name: str) -> str:
    """A name without the suffix of an image."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGES else name


def _keys(name: str) -> Iterator[str]:
    """Names under which the image of a file is looked for: `a.png.bin` -> `a.png`, `a`."""
    stem = name.rpartition(".")[0] or name
    yield stem
    yield _bare(stem)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files of a point by name, `/` as `+`; hidden ones and tables are none."""
    for file in _below(folder):
        name = file.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") for part in name.split("/"))
        if not hidden and file.suffix.lower() != ".csv":
            yield name.replace("/", "+"), file


def _sizes(
    path: Path, home: Path, dataset: str, point: str, names: Mapping[str, str]
) -> tuple[dict[str, int], list[str]]:
    """Sizes by image id from the nearest table, and names in it that no image has."""
    places = dict.fromkeys([home / point / TABLE, home / TABLE, path / TABLE])
    table = next((place for place in places if place.is_file()), None)
    if table is None:
        return {}, []
    sizes: dict[str, int] = {}
    unknown = []
    for row in _rows(table, table.parent == home / point):
        if row.get("point", point) != point or row.get("dataset", dataset) != dataset:
            continue
        name = row["image"].strip().replace("/", "+")
        keys = (name, _bare(name))
        image = next((names[key] for key in keys if key in names), None)
        if image is None:
            unknown.append(f"{TABLE}: {row['image']}")
            continue
        text = row["bytes"].strip()
        if not _COUNT.fullmatch(text):
            raise ConfigError(f"{table}: {row['image']}: {text!r} is no whole number of bytes")
        if sizes.setdefault(image, int(text)) != int(text):
            raise ConfigError(f"{table}: {row['image']} has two sizes")
    return sizes, unknown


def _rows(table: Path, of_one_point: bool) -> Iterable[Mapping[str, str]]:
    """Rows of a table of sizes; ConfigError where its columns are others."""
    needed = {"image", "bytes"} | (set() if of_one_point else {"point"})
    try:
        with open(table, encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            given = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = given
            columns = {*given}
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{table}: cannot be read: {error}") from error
    if not needed <= columns <= {*needed, "dataset", "point"} or len(given) > len(columns):
        found = ",".join(sorted(given)) or "none"
        raise ConfigError(f"{table}: columns {found}, expected are {','.join(sorted(needed))}")
    if any(None in row or None in row.values() for row in rows):
        raise ConfigError(f"{table}: a line has not the columns of the first")
    return rows


def _pixels(picture: Path) -> int:
    """Pixels of a PNG or PPM file by its header; 0 of others."""
    with open(picture, "rb") as handle:
        head = handle.read(64)
    if head.startswith(b"\x89PNG") and len(head) > 24:
        width, height = struct.unpack(">II", head[16:24])
        return int(width * height)
    found = _PPM.match(head)
    return int(found[1]) * int(found[2]) if found else 0
