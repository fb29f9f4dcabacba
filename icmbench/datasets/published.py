"""Published sets of images: `div2k`, `clic2020`, `tecnick`, `lsdir`, `ffhq`."""

from __future__ import annotations

import dataclasses
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import ConfigError, DatasetError
from icmbench.datasets.base import Annotations
from icmbench.datasets.faces import ALIGNED, aligned_face
from icmbench.datasets.folder import Folder
from icmbench.datasets.listing import is_picture
from icmbench.datasets.options import Option
from icmbench.datasets.records import Record
from icmbench.datasets.sizes import read_sizes

TRAIN: Final = "train"
_FFHQ_TRAIN: Final = 60_000  # the first so many images are for training, as its authors define it


@dataclass(frozen=True)
class Part:
    """Images of one split.

    Attributes:
        source: name of the source.
        folder: name of the folder of the images, anywhere below that of the source; '': the first
            folder that holds more than one entry.
    """

    source: str
    folder: str = ""


class Published(Folder):
    """Base: images of one split of a published set, fetched or in a local folder.

    The images of the split `train` are for training, all others for testing.
    """

    splits = True

    @abstractmethod
    def parts(self) -> Mapping[str, Part]:
        """Split -> its images; the first split is the default."""

    def __init__(self, name: str, entry: Mapping[str, Any], downloads: Path) -> None:
        super().__init__(name, entry, downloads)
        parts = self.parts()
        self.split: str = self.values["split"] or next(iter(parts))
        if self.split not in parts:
            known = " or ".join(parts)
            raise ConfigError(f"data set {name!r}: split: {self.split} is not {known}")

    def sources(self) -> tuple[str, ...]:
        """The source of the split, unless the images are local."""
        return () if self.values["path"] else (self.parts()[self.split].source,)

    def _folder(self) -> Path:
        if self.values["path"]:
            return super()._folder()
        part = self.parts()[self.split]
        root = self.fetched(part.source)
        if not part.folder:
            return _inmost(root)
        found = [p for p in root.rglob(f"**/{part.folder}") if p.is_dir()]
        if len(found) != 1:
            raise DatasetError(
                f"data set {self.name!r}: {len(found)} folders {part.folder!r} below {root}, "
                "expected one: give the folder of the images as path"
            )
        return found[0]

    def provide(self, image_ids: Sequence[str], folder: Path) -> list[Record]:
        """Read every image once; records state the split and the licence of the source."""
        split = TRAIN if self.split == TRAIN else "test"
        licence = self.source(self.parts()[self.split].source).licence
        return [
            dataclasses.replace(record, split=split, licence=record.licence or licence)
            for record in super().provide(image_ids, folder)
        ]


def _inmost(root: Path) -> Path:
    """The first folder with more than one entry, hidden and foreign ones aside."""
    while True:
        entries = [p for p in sorted(root.iterdir()) if p.is_dir() or is_picture(p)]
        entries = [p for p in entries if not p.name.startswith((".", "__MACOSX"))]
        if len(entries) != 1 or not entries[0].is_dir():
            return root
        root = entries[0]


def split_options(*splits: str) -> dict[str, Option]:
    """Options of a set with these splits, the first of which is the default."""
    text = f"{splits[0]} (default)" + "".join(f" or {split}" for split in splits[1:])
    return {
        **Folder.options,
        "path": Option(str, help="folder of the images; left out: fetched images"),
        "split": Option(str, help=text),
    }


class Div2k(Published):
    """DIV2K: 100 images of valid for testing, 800 of train."""

    kind = "div2k"
    options = split_options("valid", TRAIN)

    def parts(self) -> Mapping[str, Part]:
        """The two splits with full-resolution images."""
        return {"valid": Part("div2k-valid"), TRAIN: Part("div2k-train")}


class Clic2020(Published):
    """CLIC 2020: test images of the tracks professional and mobile."""

    kind = "clic2020"
    options = split_options("professional", "mobile")

    def parts(self) -> Mapping[str, Part]:
        """The two tracks."""
        return {track: Part(f"clic2020-{track}") for track in ("professional", "mobile")}


class Tecnick(Published):
    """TESTIMAGES of Tecnick: 100 images of 1200x1200 pixels, for testing."""

    kind = "tecnick"
    options = split_options("sampling")

    def parts(self) -> Mapping[str, Part]:
        """The unshifted RGB images of the set SAMPLING."""
        return {"sampling": Part("tecnick", "RGB_OR_1200x1200")}


class Lsdir(Published):
    """LSDIR: 250 images of val1 for testing, 84991 of train."""

    kind = "lsdir"
    options = split_options("val", TRAIN)

    def parts(self) -> Mapping[str, Part]:
        """Full-resolution images."""
        return {"val": Part("lsdir-val", "HR"), TRAIN: Part("lsdir-train")}


class Ffhq(Published):
    """FFHQ: faces 60000 to 69999 for testing, the first 60000 for training.

    The faces are aligned and have no points: what a task finds in the original is taken for right,
    in a box that is the same share of every image.
    """

    kind = "ffhq"
    annotated = True
    options = {
        **split_options("val", TRAIN),
        "size": Option(int, default=1024, help="1024, or 128: thumbnails"),
    }

    def parts(self) -> Mapping[str, Part]:
        """Both splits, which lie in one archive."""
        if (size := self.values["size"]) not in (128, 1024):
            raise ConfigError(f"data set {self.name!r}: size: {size} is neither 128 nor 1024")
        return dict.fromkeys(("val", TRAIN), Part(f"ffhq-{size}"))

    def merge_annotations(self, folder_of: Mapping[str, Path]) -> Annotations:
        """The box of every face."""
        sizes = read_sizes(folder_of)
        return Annotations(landmarks={n: [aligned_face(ALIGNED, *s)] for n, s in sizes.items()})

    def _every_file(self) -> dict[str, Path]:
        """The faces of the split, by their numbers."""
        wanted = {
            name: path
            for name, path in super()._every_file().items()
            if re.fullmatch("[0-9]{5}", path.stem)
            and (int(path.stem) < _FFHQ_TRAIN) == (self.split == TRAIN)
        }
        if not wanted:
            raise DatasetError(f"data set {self.name!r}: no image of the split {self.split}")
        return wanted
