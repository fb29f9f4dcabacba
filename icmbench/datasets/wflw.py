"""`wflw`: WFLW, faces in the wild with 98 landmarks each."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import ConfigError, DatasetError
from icmbench.datasets.base import Annotations
from icmbench.datasets.faces import check_faces, tight_face
from icmbench.datasets.foreign import name_fault, read_text, with_file
from icmbench.datasets.options import Option
from icmbench.datasets.published import TRAIN, Part, Published, split_options
from icmbench.datasets.records import Record
from icmbench.datasets.sizes import read_sizes

ALL: Final = 98
# Index among the 98 of each of the 68 points that 300-W has, too: every second of the jaw, upper
# edges of the brows, nose, six of eight points of each eye, mouth; without the pupils.
IN_300W: Final = (
    *range(0, 33, 2), *range(33, 38), *range(42, 47), *range(51, 60),
    60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75, *range(76, 96),
)  # fmt: skip
_REST: Final = 10  # of a line behind the points: box, six attributes
_CENTRE: Final = 0.5  # added to an index of a pixel, so that its centre lies at +0.5


class Wflw(Published):
    """WFLW: 2500 faces of test, 7500 of train.

    All faces of a split in an image are judged. With `points: 68`, models of 68 landmarks can be
    judged by the points that both annotations have; such an NME is none of those published for
    WFLW. The box of a face is the tight bounding box of its points.
    """

    kind = "wflw"
    annotated = True
    options = {
        **split_options("test", TRAIN),
        "points": Option(int, default=ALL, help="98, or 68: those that 300-W has, too"),
    }

    def __init__(self, name: str, entry: Mapping[str, Any], downloads: Path) -> None:
        super().__init__(name, entry, downloads)
        if (points := self.values["points"]) not in (ALL, len(IN_300W)):
            raise ConfigError(f"data set {name!r}: points: {points} is neither 98 nor 68")

    def parts(self) -> Mapping[str, Part]:
        """Both splits, whose images lie in one folder."""
        return dict.fromkeys(("test", TRAIN), Part("wflw", "WFLW_images"))

    def _list(self) -> Path:
        name = f"list_98pt_rect_attr_{self.split}.txt"
        root = self._folder().absolute().parent / "WFLW_annotations"
        return root / "list_98pt_rect_attr_train_test" / name

    def _faces(self) -> dict[str, list[list[float]]]:
        """Name of an image below the folder -> the 196 coordinates of its faces."""
        path = self._list()
        try:
            stat = path.stat()
        except OSError as error:
            raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
        return _read_list(path, (stat.st_size, stat.st_mtime_ns))

    def fingerprint(self, image_ids: Sequence[str]) -> str:
        """Digest of the images' files and of the list of landmarks."""
        return with_file(super().fingerprint(image_ids), self._list())

    def _every_file(self) -> dict[str, Path]:
        """The images that the list of the split names; DatasetError where one is missing."""
        root = self._folder()
        files = {name.replace("/", "+"): root / name for name in self._faces()}
        if missing := [path for path in files.values() if not path.is_file()]:
            raise DatasetError(
                f"data set {self.name!r}: {self._list()} lists images that are not there: "
                f"{missing[0]} ({len(missing)} of {len(files)})"
            )
        return dict(sorted(files.items()))

    def provide(self, image_ids: Sequence[str], folder: Path) -> list[Record]:
        """Read every image once; the landmarks too, so that errors in them are reported early."""
        self._faces()
        return super().provide(image_ids, folder)

    def merge_annotations(self, folder_of: Mapping[str, Path]) -> Annotations:
        """The faces of all images that could be read; DatasetError as `check_faces`."""
        import numpy as np

        sizes = read_sizes(folder_of)
        faces = {name.replace("/", "+"): found for name, found in self._faces().items()}
        chosen = slice(None) if self.values["points"] == ALL else list(IN_300W)
        landmarks = {
            name: [
                tight_face(np.reshape(numbers, (ALL, 2))[chosen] + _CENTRE)
                for numbers in faces[name]
            ]
            for name in sizes
        }
        check_faces(str(self._list()), landmarks, sizes)
        return Annotations(landmarks=landmarks)


@functools.lru_cache(maxsize=2)
def _read_list(path: Path, state: tuple[int, int]) -> dict[str, list[list[float]]]:
    """Name of an image -> coordinates of each face; `state`: of the file's content.

    A line has 98 pairs x, y, a box, six attributes and a name, separated by spaces. DatasetError
    for anything else.
    """
    found: dict[str, list[list[float]]] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split(None, 2 * ALL + _REST)
        if len(words) != 2 * ALL + _REST + 1:
            raise DatasetError(
                f"{path}: line {number} has {len(words)} words, expected {2 * ALL + _REST + 1}: "
                "98 pairs, a box, six attributes, a name"
            )
        if reason := name_fault(words[-1]):
            raise DatasetError(f"{path}: line {number}: name of the image: {reason}")
        try:
            numbers = [float(word) for word in words[: 2 * ALL]]
        except ValueError as error:
            raise DatasetError(f"{path}: line {number}: not pairs of numbers: {error}") from error
        if not all(abs(value) < 1e6 for value in numbers):  # false of nan, too
            raise DatasetError(f"{path}: line {number}: a point is far from any image")
        found.setdefault(words[-1], []).append(numbers)
    if not found:
        raise DatasetError(f"{path}: lists no face")
    return found
