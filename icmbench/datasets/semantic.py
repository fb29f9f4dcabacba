"""`semantic`: images in one folder, maps of classes in another."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.core.errors import ConfigError, DatasetError
from icmbench.core.images.png import check_rows
from icmbench.datasets.base import Annotations
from icmbench.datasets.folder import Folder
from icmbench.datasets.options import Option
from icmbench.datasets.sizes import read_sizes, turned_text

_KINDS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}  # PNG, section 11.2.2


class Semantic(Folder):
    """Images with a single-channel PNG each that names the class of every pixel.

    The map of `a/b.jpg` is `a/b.png` below `maps`. A value is the position of its class in
    `classes`, or `ignore`: pixels that are not judged. Palette PNGs are taken by their indices.
    """

    kind = "semantic"
    annotated = True
    options = {
        **Folder.options,
        "maps": Option(str, required=True, help="the directory of the label maps"),
        "classes": Option(list, required=True, help="names, in the order of the maps' values"),
        "ignore": Option(int, default=255, low=0, help="value of pixels that are not judged"),
    }

    def __init__(self, name: str, entry: Mapping[str, Any], downloads: Path) -> None:
        super().__init__(name, entry, downloads)
        classes, ignore = self.values["classes"], self.values["ignore"]
        what = f"data set {name!r}"
        for item in classes:
            if not isinstance(item, str) or not item:
                raise ConfigError(f"{what}: classes: {item!r} is not a name")
            if classes.count(item) > 1:
                raise ConfigError(f"{what}: classes: {item!r} stands there twice")
        if not 1 <= len(classes) <= 255:
            raise ConfigError(f"{what}: classes: {len(classes)} of them, there may be 1 to 255")
        if not len(classes) <= ignore <= 255:
            raise ConfigError(
                f"{what}: ignore={ignore} must not be one of the {len(classes)} classes "
                "(0 and up) and must fit 8 bits"
            )

    def _maps(self, files: Mapping[str, Path]) -> dict[str, Path]:
        """Image id -> its map; DatasetError where one is missing."""
        images = Path(self.values["path"]).expanduser()
        root = Path(self.values["maps"]).expanduser()
        if not root.is_dir():
            raise DatasetError(f"data set {self.name!r}: {root} is not a directory")
        maps = {
            image_id: (root / path.relative_to(images)).with_suffix(".png")
            for image_id, path in files.items()
        }
        for image_id, path in maps.items():
            if not path.is_file():
                raise DatasetError(
                    f"data set {self.name!r}: {files[image_id]} has no map: no file {path}"
                )
        return maps

    def image_ids(self) -> list[str]:
        """Ids of the images, all of which must have a map."""
        files = self._files()
        self._maps(files)
        return list(files)

    def fingerprint(self, image_ids: Sequence[str]) -> str:
        """Digest of names, sizes and modification times of images and maps."""
        digest = hashlib.sha256(super().fingerprint(image_ids).encode())
        maps = self._maps(self._files())
        for image_id in image_ids:
            stat = maps[image_id].stat()
            digest.update(f"{maps[image_id]}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:16]

    def merge_annotations(self, folder_of: Mapping[str, Path]) -> Annotations:
        """The classes, and the maps of the images that could be read.

        Raises DatasetError, naming image and map, where a map is not a single-channel PNG, is of
        another size than its image or holds a value that is neither a class nor `ignore`.
        """
        files = self._files()
        maps = self._maps(files)
        classes, ignore = self.values["classes"], self.values["ignore"]
        semantic = {}
        for image_id, size in read_sizes(folder_of).items():
            if reason := map_fault(maps[image_id], size, len(classes), ignore, files[image_id]):
                raise DatasetError(
                    f"data set {self.name!r}: {maps[image_id]}, the map of {files[image_id]}, "
                    f"{reason}"
                )
            semantic[image_id] = maps[image_id].absolute()
        return Annotations(classes=list(classes), semantic=semantic, ignore=ignore)


def map_fault(
    path: Path, size: tuple[int, int], classes: int, ignore: int, image: Path | None = None
) -> str:
    """Fault of a map; '' if there is none."""
    import numpy as np
    from PIL import Image as PillowImage

    try:
        data = path.read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if len(data) < 26 or not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "is not a PNG"
    width, height, depth, kind = struct.unpack(">2I2B", data[16:26])
    # Pillow stretches grey values of fewer bits to 0..255 and gives palette indices as they are.
    if kind != 3 and (kind, depth) != (0, 8):
        return f"is {depth}-bit {_KINDS.get(kind, 'unknown')}, not 8-bit grey or palette indices"
    if (width, height) != size:
        turned = turned_text(image) if image is not None else ""
        return f"is {width}x{height}, the image {size[0]}x{size[1]}{turned}"
    try:
        check_rows(data)  # Pillow gives missing rows the class 0
        with PillowImage.open(io.BytesIO(data), formats=("PNG",)) as picture:
            values = np.asarray(picture)
    except Exception as error:  # noqa: BLE001 - a foreign decoder raises whatever it likes
        return f"is damaged: {' '.join(str(error).split()) or type(error).__name__}"
    for value in np.unique(values).tolist():
        if value >= classes and value != ignore:
            return (
                f"holds {value}, neither one of the {classes} classes (0 to {classes - 1}) nor "
                f"ignore ({ignore})"
            )
    return ""
