"""`imagefolder`: photographs with one class each, by folders or by a list."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import ConfigError, DatasetError
from icmbench.datasets.base import Annotations
from icmbench.datasets.folder import Folder
from icmbench.datasets.foreign import read_text, with_file
from icmbench.datasets.options import Option
from icmbench.datasets.sizes import read_sizes

IMAGE: Final = "image"
COLUMNS: Final = ("class_index", "class_name")  # of a list of labels; the first that is there
IMAGENET: Final = 1000  # classes
_WNID: Final = re.compile(r"n\d{8}")

Class = str | int  # name of a class of the network, or its index in the scores


class ImageFolder(Folder):
    """Photographs with a class each: that of their folder below `path`, or of a list `labels`.

    Where there are 1000 folders, all of them named by wnids, they are ImageNet's classes in their
    sorted order.
    """

    kind = "imagefolder"
    annotated = True
    options = {
        **Folder.options,
        "labels": Option(
            str,
            help=f"CSV file with the columns {IMAGE} (file below path) and {COLUMNS[0]} or "
            f"{COLUMNS[1]}; default: an image's class is the name of its folder",
        ),
        "classes": Option(
            dict,
            help="name of a folder, or class_name -> name or index of that class of the network; "
            "default: they are its names",
        ),
    }

    def __init__(self, name: str, entry: Mapping[str, Any], downloads: Path) -> None:
        super().__init__(name, entry, downloads)
        for key, value in (self.values["classes"] or {}).items():
            if not isinstance(key, str) or type(value) not in (str, int):
                raise ConfigError(
                    f"data set {name!r}: classes: {key!r}: {value!r} is not a name and the name or "
                    "index of a class"
                )

    def _labels_file(self) -> Path | None:
        given = self.values["labels"]
        return Path(given).expanduser() if given else None

    def _classes(self) -> dict[str, Class]:
        """Image id -> its class, of all images; DatasetError where one has none."""
        files, path = self._every_file(), self._labels_file()
        found = self._by_folder(files) if path is None else _by_list(path, files)
        named = self.values["classes"] or {}
        if strange := [name for name in named if name not in found.values()]:
            raise DatasetError(
                f"data set {self.name!r}: classes: no image is of the class {strange[0]!r}"
            )
        return {image: named.get(name, name) for image, name in found.items()}

    def _by_folder(self, files: Mapping[str, Path]) -> dict[str, Class]:
        root = self._folder()
        found: dict[str, Class] = {}
        for image, path in files.items():
            folder, *below = path.relative_to(root).parts
            if not below:
                raise DatasetError(
                    f"data set {self.name!r}: {path} has no class: it lies in no folder of {root}; "
                    "put it into one, or give `labels`"
                )
            found[image] = folder
        names = sorted(set(map(str, found.values())))
        if len(names) == IMAGENET and all(map(_WNID.fullmatch, names)):
            places = {name: index for index, name in enumerate(names)}
            return {image: places[str(name)] for image, name in found.items()}
        return found

    def image_ids(self) -> list[str]:
        """Ids of the images, all of which must have a class."""
        self._classes()
        return super().image_ids()

    def fingerprint(self, image_ids: Sequence[str]) -> str:
        """Digest of names, sizes and modification times of the images and of the labels."""
        digest, path = super().fingerprint(image_ids), self._labels_file()
        return digest if path is None else with_file(digest, path)

    def merge_annotations(self, folder_of: Mapping[str, Path]) -> Annotations:
        """The classes, and the position among them of every image that could be read."""
        known = self._classes()
        images = {image: known[image] for image in read_sizes(folder_of)}
        # Names after indices: the two cannot be compared.
        classes = sorted(set(images.values()), key=lambda each: (isinstance(each, str), each))
        places = {each: place for place, each in enumerate(classes)}
        labels = {image: places[each] for image, each in images.items()}
        return Annotations(more={"class_scores": {"classes": classes, "labels": labels}})


def _by_list(path: Path, files: Mapping[str, Path]) -> dict[str, Class]:
    """Image id -> class of a list, for all images."""
    known = read_labels(path)
    if strange := [name for name in known if name not in files]:
        raise DatasetError(
            f"{path}: {strange[0]} is no image of the folder ({len(strange)} of {len(known)} "
            "rows): remove them, or add the images"
        )
    if bare := [image for image in files if image not in known]:
        raise DatasetError(
            f"{path}: no row for {bare[0]} ({len(bare)} of {len(files)} images): add its class"
        )
    return known


def read_labels(path: Path) -> dict[str, Class]:
    """Id of an image -> its class, of a CSV file: an index, or a name.

    Raises DatasetError naming file and line where the list is missing or malformed, and where an
    image has two rows.
    """
    rows = csv.DictReader(read_text(path).splitlines())
    column = next((name for name in COLUMNS if name in (rows.fieldnames or ())), None)
    if column is None or IMAGE not in (rows.fieldnames or ()):
        raise DatasetError(
            f"{path}: not a list of labels: its first line needs the columns {IMAGE} and "
            f"{' or '.join(COLUMNS)}"
        )
    found: dict[str, Class] = {}
    for row in rows:
        image, value = row[IMAGE] or "", (row[column] or "").strip()
        where = f"{path}: line {rows.line_num}"
        if not image or not value:
            raise DatasetError(f"{where}: {IMAGE} or {column} is empty")
        if column == COLUMNS[0] and not value.isdecimal():
            raise DatasetError(f"{where}: {column}={value!r} is no index")
        name = image.replace("/", "+")
        if name in found:
            raise DatasetError(f"{where}: {image} has a row already")
        found[name] = int(value) if column == COLUMNS[0] else value
    if not found:
        raise DatasetError(f"{path}: holds no label")
    return found
