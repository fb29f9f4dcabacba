"""`landmarks`: any directory of face images with 68 points each, as one JSON file or as .pts."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from icmbench.core.errors import ConfigError, DatasetError
from icmbench.datasets.base import Annotations
from icmbench.datasets.faces import ALIGNED, aligned_face, check_faces, tight_face
from icmbench.datasets.folder import Folder
from icmbench.datasets.foreign import is_number, name_fault, read_text
from icmbench.datasets.foreign import read_json as read_json_file
from icmbench.datasets.options import Option
from icmbench.datasets.records import Record
from icmbench.datasets.sizes import read_sizes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

POINTS: Final = 68
ANNOTATED: Final = "annotated"
ORIGINALS: Final = "originals"
ZERO_BASED: Final = 0.5  # added to the index of a pixel, so that its centre lies at +0.5
ONE_BASED: Final = -0.5
PTS_FORMS: Final = "version: 1, n_points: 68, { pairs }; or 68 lines of a pair each"
FAR: Final = 1e6  # pixels; no image is as large

Points: TypeAlias = "NDArray[np.float64]"


class Landmarks(Folder):
    """Face images with 68 annotated landmarks each; images are read in place, as in `folder`.

    A JSON file maps names of images (below `path`) to 68 pairs x, y or to a list of faces, each 68
    pairs or an object with `landmarks`; or it holds `faces`: a list of objects with `file` and
    `pts68`. Without one, every image has a file of iBUG's beside it (`a.jpg`, `a.pts`): one face.

    With `reference: originals` no annotation is needed: the reference is the task's own prediction
    on the original, in the box `face` of every image.

    Coordinates are shifted so that the centre of a pixel is at +0.5. By default, coordinates in
    JSON are indices from 0 (+0.5 is added), those in .pts indices from 1 as in iBUG's files (-0.5);
    `offset` overrides both. The box of a face is the tight bounding box of its landmarks.
    """

    kind = "landmarks"
    annotated = True
    options = {
        **Folder.options,
        "landmarks": Option(str, help="JSON file of the points; without it .pts beside the images"),
        "offset": Option(
            float, help="added to every coordinate; by default 0.5 for JSON and -0.5 for .pts"
        ),
        "reference": Option(
            str,
            default=ANNOTATED,
            help="annotated, or originals: no points are read; what a model finds in the original "
            "is taken for right, so its value on the originals is perfect by definition",
        ),
        "face": Option(
            list,
            default=[*ALIGNED],
            help="with `reference: originals`: where the 68 points lie in every image, x, y, "
            "width, height as shares of its size; of an aligned set such as FFHQ",
        ),
    }

    def __init__(self, name: str, entry: Mapping[str, Any], downloads: Path) -> None:
        super().__init__(name, entry, downloads)
        reference = self.values["reference"]
        if reference not in (ANNOTATED, ORIGINALS):
            raise ConfigError(
                f"data set {name!r}: reference: {reference} is neither {ANNOTATED} nor {ORIGINALS}"
            )
        self._bare = reference == ORIGINALS
        if self._bare and self.values["landmarks"] is not None:
            raise ConfigError(f"data set {name!r}: landmarks are given, and reference: {ORIGINALS}")
        _check_share(name, self.values["face"])

    def fingerprint(self, image_ids: Sequence[str]) -> str:
        """Digest of the names, sizes and modification times of images and points."""
        if self._bare:
            return super().fingerprint(image_ids)
        digest = hashlib.sha256(super().fingerprint(image_ids).encode())
        json_file = self._json()
        files = self._files()
        points = [json_file] if json_file else [_pts(files[name]) for name in image_ids]
        for path in points:
            if path.is_file():  # one that is missing is reported when it is read
                stat = path.stat()
                digest.update(f"{path.name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:16]

    def provide(self, image_ids: Sequence[str], folder: Path) -> list[Record]:
        """Read every image once; landmarks too, so that errors in them are reported early."""
        if not self._bare:
            self.points(image_ids)
        return super().provide(image_ids, folder)

    def merge_annotations(self, folder_of: Mapping[str, Path]) -> Annotations:
        """The faces of all images; without points, of those that could be read.

        Raises DatasetError naming the file for an image without points, points without an image,
        not 68 points, a value that is not finite, and a file of another format; naming the image
        for a face that `check_faces` refuses. A refused image has no box without points.
        """
        sizes = read_sizes(folder_of)
        if self._bare:
            landmarks = {
                name: [aligned_face(self.values["face"], *size)] for name, size in sizes.items()
            }
        else:
            found = self.points(sorted(folder_of))
            landmarks = {
                name: [tight_face(points) for points in faces] for name, faces in found.items()
            }
            check_faces(str(self._json() or self.values["path"]), landmarks, sizes)
        return Annotations(landmarks=landmarks)

    def _json(self) -> Path | None:
        name = self.values["landmarks"]
        return None if name is None else Path(name).expanduser()

    def paths(self) -> dict[str, Path]:
        """Image id -> its file."""
        return self._files()

    def points(self, image_ids: Sequence[str]) -> dict[str, list[Points]]:
        """The faces of these images, (68, 2) each, a pixel's centre at +0.5."""
        path, files = self._json(), self._files()
        root = Path(self.values["path"]).expanduser()
        if path is None:
            listed = [path for path in self._listing().files if path.suffix == ".pts"]
            _check_pts(files, listed if self.values["limit"] is None else [])
            faces = {name: [read_pts(_pts(files[name]))] for name in image_ids}
        else:
            by_name = read_json(path)
            for name in by_name:
                if not os.path.isfile(root / name):
                    raise DatasetError(f"{path}: points of {name!r}, but {root / name} is missing")
            found = {name.replace("/", "+"): points for name, points in by_name.items()}
            for name in image_ids:
                if name not in found:
                    raise DatasetError(f"{files[name]}: {path} has no points of this image")
            faces = {name: found[name] for name in image_ids}
        usual = ONE_BASED if path is None else ZERO_BASED
        offset = usual if self.values["offset"] is None else self.values["offset"]
        return {name: [points + offset for points in each] for name, each in faces.items()}


def _check_share(name: str, face: Sequence[Any]) -> None:
    """ConfigError where a box is not four shares of an image, inside of it."""
    fits = len(face) == 4 and all(isinstance(v, int | float) and 0 <= v <= 1 for v in face)
    if not fits or min(face[2:]) <= 0 or face[0] + face[2] > 1 or face[1] + face[3] > 1:
        raise ConfigError(
            f"data set {name!r}: face: {face} is not x, y, width, height within 0 to 1"
        )


def _pts(image: Path) -> Path:
    return image.with_suffix(".pts")


def _check_pts(files: Mapping[str, Path], listed: Sequence[Path]) -> None:
    """DatasetError for an image without points, and for points of `listed` without an image."""
    expected = {_pts(path) for path in files.values()}
    for image in files.values():
        if not _pts(image).is_file():
            raise DatasetError(f"{image}: no points: {_pts(image).name} is not beside it")
    for path in listed:
        if path not in expected:
            raise DatasetError(f"{path}: points without an image of this name")


def read_pts(path: Path) -> Points:
    """The 68 points of a file of iBUG's, as they stand in it: (68, 2), counted from 1.

    `version: 1`, `n_points: 68`, and one pair a line in braces; or 68 lines of a pair each and
    nothing else. DatasetError for anything else.
    """
    text = read_text(path)
    match = re.fullmatch(r"\s*version:\s*1\s+n_points:\s*([0-9]+)\s*\{([^{}]*)\}\s*", text)
    lines = [line.split() for line in (match[2] if match else text).splitlines() if line.strip()]
    if match is None and not re.fullmatch(r"[-+.\w\s]*[0-9][-+.\w\s]*", text):
        raise DatasetError(f"{path}: not a .pts file: {PTS_FORMS}")
    if match is not None and match[1].lstrip("0") != str(len(lines)):
        raise DatasetError(f"{path}: n_points: {match[1][:9]}, but {len(lines)} lines of points")
    try:
        rows = [[_pts_number(word) for word in line] for line in lines]
    except ValueError as error:
        raise DatasetError(f"{path}: not pairs of numbers: {error}") from error
    return _array(rows, str(path))


def _pts_number(word: str) -> float:
    if re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?(nan|inf)", word):
        return float(word)
    raise ValueError(f"{word[:40]!r} is not a number")


def read_json(path: Path) -> dict[str, list[Points]]:
    """Name of an image -> its faces (68, 2), as they stand in the file; see `Landmarks`.

    Raises DatasetError naming file, image and reason.
    """
    content = read_json_file(path)
    found: dict[str, list[Points]] = {}
    if isinstance(content, dict) and isinstance(content.get("faces"), list):
        for number, face in enumerate(content["faces"]):
            if not isinstance(face, dict) or not {"file", "pts68"} <= face.keys():
                raise DatasetError(f"{path}: entry {number} of `faces` has no `file` and `pts68`")
            if reason := name_fault(face["file"]):
                raise DatasetError(f"{path}: entry {number} of `faces`: file={reason}")
            where = f"{path}: {face['file']!r}"
            found.setdefault(face["file"], []).append(_array(face["pts68"], where))
    elif isinstance(content, dict):
        for name, value in content.items():
            if reason := name_fault(name):
                raise DatasetError(f"{path}: name of an image: {reason}")
            faces = value if _many(value) else [value]
            found[name] = [_array(_bare(face), f"{path}: {name!r}") for face in faces]
    else:
        raise DatasetError(f"{path}: not an object of image names and points")
    return found


def _many(value: Any) -> bool:
    """True if a value is a list of faces; otherwise it is one face."""
    if not isinstance(value, list):
        return False
    pair = value and isinstance(value[0], list) and len(value[0]) == 2
    return not pair or isinstance(value[0][0], list)


def _bare(face: Any) -> Any:
    return face.get("landmarks") if isinstance(face, dict) else face


def _array(rows: Any, where: str) -> Points:
    """68 pairs as float64; DatasetError that begins with `where`."""
    import numpy as np

    if not isinstance(rows, list):
        raise DatasetError(f"{where}: not pairs of numbers, but {type(rows).__name__}")
    for number, pair in enumerate(rows, 1):
        if not isinstance(pair, list) or len(pair) != 2:
            raise DatasetError(f"{where}: not pairs of numbers: point {number} is no pair")
        for value in pair:
            if not is_number(value):
                raise DatasetError(f"{where}: point {number}: {value!r:.40}: not finite numbers")
            if abs(value) > FAR:
                raise DatasetError(f"{where}: point {number}: {value!r} is far from any image")
    if len(rows) != POINTS:
        raise DatasetError(f"{where}: points of the shape ({len(rows)}, 2), expected ({POINTS}, 2)")
    return np.array(rows, np.float64)
