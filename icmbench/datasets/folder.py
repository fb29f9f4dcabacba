"""`folder`: any directory of PNG, JPEG, WebP and TIFF files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from icmbench.datasets.base import Dataset, Option, Record
from icmbench.errors import DatasetError, ImageError
from icmbench.files import sha256_file
from icmbench.images import EXTENSIONS, read_image
from icmbench.progress import progress


class Folder(Dataset):
    """Images are read where they lie; nothing is copied.

    The id is the file's path below the folder, `/` as `+`, with its suffix (so that `a.png` and
    `a.jpg` differ). Sub-folders are included.
    """

    kind = "folder"
    options = {
        "path": Option(str, required=True, help="the directory, relative to where you run"),
        "limit": Option(int, low=1, help="take only the first so many images, in sorted order"),
        "licence": Option(str, default="", help="stands in the manifest"),
    }

    def _files(self) -> dict[str, Path]:
        root = Path(self.values["path"]).expanduser()
        if not root.is_dir():
            raise DatasetError(f"data set {self.name!r}: {root} is not a directory")
        found: dict[str, Path] = {}
        for path in sorted(root.rglob("*")):
            hidden = path.name.startswith(".")  # such as the ._x.png that macOS leaves
            if hidden or path.suffix.lower() not in EXTENSIONS or not path.is_file():
                continue
            image_id = str(path.relative_to(root)).replace("/", "+")
            if not image_id.isprintable():
                raise DatasetError(
                    f"data set {self.name!r}: the file name {image_id!a} is not text"
                )
            if (other := found.setdefault(image_id, path)) != path:
                raise DatasetError(f"data set {self.name!r}: {other} and {path} have the same id")
        if not found:
            kinds = " ".join(EXTENSIONS)
            raise DatasetError(f"data set {self.name!r}: no image ({kinds}) in {root}")
        return dict(sorted(found.items())[: self.values["limit"]])

    def image_ids(self) -> list[str]:
        """Ids of the files in the folder."""
        return list(self._files())

    def fingerprint(self, image_ids: Sequence[str]) -> str:
        """Digest of the names, sizes and modification times."""
        files = self._files()
        digest = hashlib.sha256()
        for image_id in image_ids:
            stat = files[image_id].stat()
            digest.update(f"{image_id}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:16]

    def provide(self, image_ids: Sequence[str], folder: Path) -> list[Record]:
        """Read every image once: its size, checksum and note; a broken one gets a status."""
        files = self._files()
        records = []
        for image_id in progress(image_ids, desc=self.name, unit="image"):
            records.append(self._record(image_id, files[image_id].absolute()))
        return records

    def _record(self, image_id: str, path: Path) -> Record:
        common = {"source": str(path), "licence": self.values["licence"]}
        try:
            image, note = read_image(path)
        except ImageError as error:
            reason = str(error).removeprefix(f"{path}: ")
            return Record(image_id, str(path), status=f"refused: {reason}", **common)
        height, width = image.shape[:2]
        return Record(image_id, str(path), sha256_file(path), width, height, note=note, **common)
