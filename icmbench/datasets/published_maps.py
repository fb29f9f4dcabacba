"""Published sets with semantic maps: `ade20k`, `cityscapes`."""

from __future__ import annotations

import hashlib
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from icmbench.core.errors import DatasetError
from icmbench.core.files import atomic_path
from icmbench.datasets.base import Annotations
from icmbench.datasets.foreign import read_text
from icmbench.datasets.published import TRAIN, Part, Published, split_options
from icmbench.datasets.records import Record
from icmbench.datasets.semantic import map_fault
from icmbench.datasets.sizes import read_sizes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IGNORE: Final = 255
_ADE20K_CLASSES: Final = 150
# The 19 evaluated classes by the value of their pixels in `*_labelIds.png`.
CITYSCAPES: Final = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole",
    19: "traffic light", 20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky",
    24: "person", 25: "rider", 26: "car", 27: "truck", 28: "bus", 31: "train", 32: "motorcycle",
    33: "bicycle",
}  # fmt: skip
_LABEL_IDS: Final = 34  # of Cityscapes, evaluated or not


class PublishedMaps(Published):
    """Base: images of one split, and a map for each in a folder beside theirs.

    The published values of the maps become positions in the list of classes; pixels of no class
    are not judged.

    Attributes:
        folders: name of the folder above those of the splits: of the images, of the maps.
        published_values: number of values that published maps may hold, from 0, beside 255.
    """

    annotated = True
    folders: ClassVar[tuple[str, str]]
    published_values: ClassVar[int]

    @abstractmethod
    def map_name(self, image: str) -> str:
        """File name of an image's map."""

    @abstractmethod
    def classes(self) -> dict[int, str]:
        """Published value -> name of its class, in the order of the classes."""

    def _map(self, image: Path) -> Path:
        """The map of an image; DatasetError where it is missing."""
        parts = list(image.absolute().parts)
        if self.folders[0] not in parts:
            raise DatasetError(
                f"data set {self.name!r}: {image} is in no folder {self.folders[0]!r}: give that "
                f"of a split as path, with {self.folders[1]!r} beside {self.folders[0]!r}"
            )
        place = len(parts) - 1 - parts[::-1].index(self.folders[0])
        parts[place] = self.folders[1]
        path = Path(*parts).with_name(self.map_name(image.name))
        if not path.is_file():
            raise DatasetError(f"data set {self.name!r}: {image} has no map: no file {path}")
        return path

    def fingerprint(self, image_ids: Sequence[str]) -> str:
        """Digest of names, sizes and modification times of images and maps, and of the classes."""
        digest = hashlib.sha256(super().fingerprint(image_ids).encode())
        digest.update(repr(self.classes()).encode())
        files = self._files()
        for image_id in image_ids:
            stat = self._map(files[image_id]).stat()
            digest.update(f"{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:16]

    def provide(self, image_ids: Sequence[str], folder: Path) -> list[Record]:
        """Read every image once, and write its map with the classes' positions.

        Raises DatasetError where a map is missing, damaged, of another size than its image or
        holds a value that is not published.
        """
        files = self._files()
        maps = {image_id: self._map(files[image_id]) for image_id in image_ids}
        table = self._table()
        records = super().provide(image_ids, folder)
        for record in records:
            if record.status == "ok":
                values = table[self._values(record, maps[record.image], files[record.image])]
                _write(values, _converted(folder, record.image))
        return records

    def _table(self) -> NDArray[np.uint8]:
        """Position of the class of every published value; `IGNORE`: none."""
        import numpy as np

        table = np.full(256, IGNORE, np.uint8)
        table[list(self.classes())] = range(len(self.classes()))
        return table

    def _values(self, record: Record, path: Path, image: Path) -> NDArray[np.uint8]:
        """The published values of a map, which is checked."""
        import numpy as np
        from PIL import Image as PillowImage

        size = (record.width, record.height)
        if reason := map_fault(path, size, self.published_values, IGNORE, image):
            raise DatasetError(f"data set {self.name!r}: {path}, the map of {image}, {reason}")
        with PillowImage.open(path) as picture:
            return np.asarray(picture)

    def merge_annotations(self, folder_of: Mapping[str, Path]) -> Annotations:
        """The classes, and the maps of the images that could be read."""
        maps = {name: _converted(folder_of[name], name) for name in read_sizes(folder_of)}
        names = list(self.classes().values())
        return Annotations(classes=names, semantic=maps, ignore=IGNORE)


def _write(values: NDArray[np.uint8], path: Path) -> None:
    from PIL import Image as PillowImage

    with atomic_path(path) as temporary:
        PillowImage.fromarray(values).save(temporary, "PNG")


def _converted(folder: Path, image_id: str) -> Path:
    return folder / f"{image_id}.semantic.png"


class Ade20k(PublishedMaps):
    """ADE20K, scene parsing 2016: 150 classes; 2000 images of validation, 20210 of train.

    Class names are the first ones of `objectInfo150.txt`. Pixels of the value 0 are not judged.
    """

    kind = "ade20k"
    options = split_options("validation", TRAIN)
    folders = ("images", "annotations")
    published_values = 1 + _ADE20K_CLASSES

    def parts(self) -> Mapping[str, Part]:
        """The two annotated splits."""
        return {
            "validation": Part("ade20k", "images/validation"),
            TRAIN: Part("ade20k", "images/training"),
        }

    def map_name(self, image: str) -> str:
        """The same name, as PNG."""
        return str(Path(image).with_suffix(".png"))

    def classes(self) -> dict[int, str]:
        """The table beside the folders of images and maps.

        Raises DatasetError where it does not number 150 classes of different names.
        """
        path = self._folder().parent.parent / "objectInfo150.txt"
        rows = [line.split("\t") for line in read_text(path).splitlines() if line.strip()]
        names = {
            int(row[0]): row[-1].split(",")[0].strip()
            for row in rows
            if re.fullmatch(r"\s*[0-9]{1,3}\s*", row[0])
        }
        if sorted(names) != list(range(1, 1 + _ADE20K_CLASSES)) or len(set(names.values())) != len(
            names
        ):
            raise DatasetError(
                f"{path}: {len(set(names.values()))} classes, expected {_ADE20K_CLASSES}, numbered "
                "from 1, in columns separated by tabs"
            )
        return dict(sorted(names.items()))


class Cityscapes(PublishedMaps):
    """Cityscapes, fine annotations, 19 classes: 500 images of val, 2975 of train."""

    kind = "cityscapes"
    options = split_options("val", TRAIN)
    folders = ("leftImg8bit", "gtFine")
    published_values = _LABEL_IDS

    def parts(self) -> Mapping[str, Part]:
        """The two splits whose annotations are published."""
        return {split: Part("cityscapes", f"leftImg8bit/{split}") for split in ("val", TRAIN)}

    def map_name(self, image: str) -> str:
        """The map of label ids; that of training ids is not published."""
        return f"{image.removesuffix('_leftImg8bit.png')}_gtFine_labelIds.png"

    def classes(self) -> dict[int, str]:
        """The evaluated classes."""
        return CITYSCAPES
