"""`folder`: any directory of PNG, JPEG, WebP and TIFF files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from icmbench.core.errors import DatasetError, ImageError
from icmbench.core.files import sha256_file
from icmbench.core.progress import progress
from icmbench.datasets.base import Dataset, Megapixels
from icmbench.datasets.listing import Listing, is_picture, list_files
from icmbench.datasets.options import Option
from icmbench.datasets.records import Record
from icmbench.datasets.sizes import sampled_megapixels, write_sizes


class Folder(Dataset):
    """Images are read where they lie; nothing is copied.

    The id is the file's path below the folder, `/` as `+`, with its suffix (so that `a.png` and
    `a.jpg` differ). Sub-folders are included, linked ones too. What lies in the folder and is no
    image of the set (hidden files, results of runs, other kinds of images) stands in `notes`.
    """

    kind = "folder"
    options = {
        "path": Option(str, required=True, help="the directory, relative to where you run"),
        "limit": Option(int, low=1, help="take only the first so many images, in sorted order"),
        "licence": Option(str, default="", help="stands in the manifest"),
    }

    def _folder(self) -> Path:
        """Folder of the images; raises DatasetError if it is none."""
        root = Path(self.values["path"]).expanduser()
        if not root.is_dir():
            raise DatasetError(f"data set {self.name!r}: {root} is not a directory")
        return root

    def _listing(self) -> Listing:
        try:
            return list_files(self._folder(), self.outputs, self.downloads.parent)
        except DatasetError as error:
            raise DatasetError(f"data set {self.name!r}: {error}") from error

    def notes(self) -> list[str]:
        """Report the files of the folder that are left out."""
        return self._listing().notes()

    def _files(self) -> dict[str, Path]:
        """Image id -> its file, sorted, up to `limit`."""
        return dict(list(self._every_file().items())[: self.values["limit"]])

    def _every_file(self) -> dict[str, Path]:
        """Image id -> its file, sorted."""
        from icmbench.core.images.image_files import EXTENSIONS

        root, listing = self._folder(), self._listing()
        found: dict[str, Path] = {}
        for path in filter(is_picture, listing.files):
            image_id = str(path.relative_to(root)).replace("/", "+")
            if not image_id.isprintable():
                raise DatasetError(
                    f"data set {self.name!r}: the file name {image_id!a} is not text"
                )
            if (other := found.setdefault(image_id, path)) != path:
                raise DatasetError(f"data set {self.name!r}: {other} and {path} have the same id")
        if not found:
            kinds = " ".join(EXTENSIONS)
            reasons = "".join(f"; {note}" for note in listing.notes())
            raise DatasetError(f"data set {self.name!r}: no image ({kinds}) in {root}{reasons}")
        return dict(sorted(found.items()))

    def planned_sizes(self) -> Megapixels:
        """From the headers of some files; bounds of the kind where none can be read."""
        files = list(self._files().values())
        return sampled_megapixels(files) or super().planned_sizes()

    def image_ids(self) -> list[str]:
        """Ids of the files in the folder."""
        return list(self._files())

    def fingerprint(self, image_ids: Sequence[str]) -> str:
        """Digest of the names, sizes and modification times."""
        files = self._files()
        digest = hashlib.sha256()
        for image_id in image_ids:
            try:
                stat = files[image_id].stat()
            except OSError:  # a link into nowhere: its own state, until what it names is there
                stat = files[image_id].lstat()
            digest.update(f"{image_id}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:16]

    def provide(self, image_ids: Sequence[str], folder: Path) -> list[Record]:
        """Read every image once: its size, checksum and note; a broken one gets a status.

        The sizes are kept where annotations are to be compared with them.
        """
        files = self._files()
        bar = progress(image_ids, desc=self.name, unit="image")
        records = [self._record(image_id, files[image_id].absolute()) for image_id in bar]
        if self.annotated:
            write_sizes(records, folder)
        return records

    def _record(self, image_id: str, path: Path) -> Record:
        from icmbench.core.images.image_files import read_image

        common = {"source": str(path), "licence": self.values["licence"]}
        try:
            image, note = read_image(path)
        except ImageError as error:
            reason = str(error).removeprefix(f"{path}: ")
            return Record(image_id, str(path), status=f"refused: {reason}", **common)
        height, width = image.shape[:2]
        return Record(image_id, str(path), sha256_file(path), width, height, note=note, **common)
