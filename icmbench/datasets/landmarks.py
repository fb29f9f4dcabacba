"""`landmarks`: any directory of face images with 68 points each, as one JSON file or as .pts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from icmbench.datasets.base import Annotations, Option, Record
from icmbench.datasets.folder import Folder
from icmbench.errors import ConfigError, DatasetError

POINTS: Final = 68
ANNOTATED: Final = "annotated"
ORIGINALS: Final = "originals"
ZERO_BASED: Final = 0.5  # added to the index of a pixel, so that its centre lies at +0.5
ONE_BASED: Final = -0.5

Points = NDArray[np.float64]


class Landmarks(Folder):
    """Images are read where they lie, as `folder` does; their points are the ground truth.

    A JSON file maps names of images (below `path`) to 68 pairs x, y or to a list of faces, each 68
    pairs or an object with `landmarks`; or it holds `faces`: a list of objects with `file` and
    `pts68`. Without one, every image has a file of iBUG's beside it (`a.jpg`, `a.pts`): one face.

    With `reference: originals` nothing is annotated: a task's own points on the original are what
    its points on decoded pictures are compared with, in the box `face` of every image.

    Coordinates are shifted so that a pixel's centre lies at +0.5. In JSON they are taken as
    indices from 0 (+0.5), in .pts as indices from 1, as iBUG counts (-0.5); `offset` says
    otherwise. A face's box is the tight one of its points.
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
            default=[0.15, 0.25, 0.7, 0.65],
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
        """Read every image once; the points too, so that what is wrong with them shows early."""
        if not self._bare:
            self._points(image_ids)
        return super().provide(image_ids, folder)

    def merge_annotations(self, folder_of: Mapping[str, Path]) -> Annotations:
        """The faces of all images.

        Raises DatasetError naming the file for an image without points, points without an image,
        not 68 points, a value that is not finite, and a file of another format.
        """
        if self._bare:
            files = self._files()
            return Annotations(
                landmarks={name: [self._unmarked(files[name])] for name in sorted(folder_of)}
            )
        found = self._points(sorted(folder_of))
        return Annotations(
            landmarks={name: [_face(points) for points in faces] for name, faces in found.items()}
        )

    def _unmarked(self, path: Path) -> dict[str, Any]:
        """The face of an image without points: its box alone; no image, an empty one."""
        try:
            with PillowImage.open(path) as image:
                size = image.size
        except OSError:  # a broken image is a row of the manifest already
            size = (0, 0)
        x, y, width, height = self.values["face"]
        return {"bbox": [x * size[0], y * size[1], width * size[0], height * size[1]]}

    def _json(self) -> Path | None:
        name = self.values["landmarks"]
        return None if name is None else Path(name).expanduser()

    def _points(self, image_ids: Sequence[str]) -> dict[str, list[Points]]:
        """The faces of these images, (68, 2) each, a pixel's centre at +0.5."""
        path, files = self._json(), self._files()
        root = Path(self.values["path"]).expanduser()
        if path is None:
            _check_pts(root, files, self.values["limit"] is None)
            faces = {name: [read_pts(_pts(files[name]))] for name in image_ids}
        else:
            by_name = read_json(path)
            for name in by_name:
                if not (root / name).is_file():
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


def _check_pts(root: Path, files: Mapping[str, Path], whole: bool) -> None:
    """DatasetError for an image without points and, where the list is `whole`, the reverse."""
    expected = {_pts(path) for path in files.values()}
    for image in files.values():
        if not _pts(image).is_file():
            raise DatasetError(f"{image}: no points: {_pts(image).name} is not beside it")
    for path in sorted(root.rglob("*.pts")) if whole else ():
        if path not in expected and not path.name.startswith("."):
            raise DatasetError(f"{path}: points without an image of this name")


def read_pts(path: Path) -> Points:
    """The 68 points of a file of iBUG's, as they stand in it: (68, 2), counted from 1.

    `version: 1`, `n_points: 68`, and one pair a line in braces. DatasetError for anything else.
    """
    try:
        text = path.read_text("ascii")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from error
    match = re.fullmatch(r"\s*version:\s*1\s+n_points:\s*(\d+)\s*\{([^{}]*)\}\s*", text)
    if match is None:
        raise DatasetError(f"{path}: not a .pts file: version: 1, n_points: 68, {{ pairs }}")
    rows = [line.split() for line in match[2].splitlines() if line.strip()]
    if int(match[1]) != len(rows):
        raise DatasetError(f"{path}: n_points: {match[1]}, but {len(rows)} lines of points")
    return _array(rows, str(path))


def read_json(path: Path) -> dict[str, list[Points]]:
    """Name of an image -> its faces (68, 2), as they stand in the file; see `Landmarks`.

    Raises DatasetError naming file, image and reason.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read as JSON: {error}") from error
    found: dict[str, list[Points]] = {}
    if isinstance(content, dict) and isinstance(content.get("faces"), list):
        for number, face in enumerate(content["faces"]):
            if not isinstance(face, dict) or not {"file", "pts68"} <= face.keys():
                raise DatasetError(f"{path}: entry {number} of `faces` has no `file` and `pts68`")
            where = f"{path}: {face['file']!r}"
            found.setdefault(str(face["file"]), []).append(_array(face["pts68"], where))
    elif isinstance(content, dict):
        for name, value in content.items():
            faces = value if _many(value) else [value]
            found[name] = [_array(_bare(face), f"{path}: {name!r}") for face in faces]
    else:
        raise DatasetError(f"{path}: not an object of image names and points")
    return found


def _many(value: Any) -> bool:
    """Whether a value is a list of faces; otherwise it is one face."""
    if not isinstance(value, list):
        return False
    pair = value and isinstance(value[0], list) and len(value[0]) == 2
    return not pair or isinstance(value[0][0], list)


def _bare(face: Any) -> Any:
    return face.get("landmarks") if isinstance(face, dict) else face


def _array(rows: Any, where: str) -> Points:
    """68 pairs as float64; DatasetError that begins with `where`."""
    try:
        points = np.array(rows, np.float64)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{where}: not pairs of numbers: {error}") from error
    if points.shape != (POINTS, 2):
        raise DatasetError(f"{where}: points of the shape {points.shape}, expected ({POINTS}, 2)")
    if not np.isfinite(points).all():
        raise DatasetError(f"{where}: a coordinate is not finite")
    return points


def _face(points: Points) -> dict[str, Any]:
    low, high = points.min(axis=0), points.max(axis=0)
    return {"bbox": [*low.tolist(), *(high - low).tolist()], "landmarks": points.tolist()}
