"""Square crops of annotated faces, with their 68 points moved along, as for configs/helen.yaml.

The side of a crop is a multiple of the larger extent of a face's points, which lie in the middle of
its width and somewhat below the middle of its height: they reach from the brows to the chin.
Resampling is Pillow's (Lanczos); pixels outside of the image repeat its border.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from icmbench.core.errors import ConfigError, DatasetError, ImageError
from icmbench.core.files import write_json
from icmbench.core.progress import progress
from icmbench.datasets.landmarks import ZERO_BASED, Landmarks, Points

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

LANDMARKS: Final = "landmarks68.json"
CENTRE: Final = (0.5, 0.6)  # of the points' box in the crop, as shares of its side
FARTHEST: Final = 2.0  # largest side of a crop in sides of its image: work follows the image


@dataclass(frozen=True)
class Cropped:
    """Results of `crop_faces`.

    Attributes:
        faces: number of crops written.
        beyond: crops that reach beyond their image; enlarged: crops of fewer pixels than written.
        skipped: sentence for every image or face that was left out.
    """

    faces: int
    beyond: int
    enlarged: int
    skipped: tuple[str, ...]


def crop_faces(
    images: Path,
    out: Path,
    landmarks: Path | None = None,
    *,
    size: int = 256,
    scale: float = 1.5,
    offset: float | None = None,
) -> Cropped:
    """Write a PNG of `size` x `size` pixels per face, and the points of all as one JSON file.

    Args:
        images: folder of images, as of the data set `landmarks`.
        out: folder that is made; it may exist when it is empty.
        landmarks: JSON file of the points; None: .pts files beside the images.
        scale: side of a crop in larger extents of the face's points.
        offset: as of the data set `landmarks`.

    Raises ConfigError for settings that give no crops, DatasetError for points or folders that
    cannot be used. An image that cannot be read and a face outside of its image are skipped.
    """
    import numpy as np

    from icmbench.core.images.image_files import read_image, write_png

    if not (16 <= size <= 4096 and math.isfinite(scale) and 0.5 <= scale <= 10):
        raise ConfigError(f"size={size} is not 16 to 4096, or scale={scale:g} is not 0.5 to 10")
    if out.resolve() == images.resolve() or images.resolve() in out.resolve().parents:
        raise DatasetError(f"{out}: the crops would become images of {images}: name another folder")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(f"{out}: exists and is not an empty folder")
    entry: dict[str, Any] = {"path": str(images)}
    entry |= {"landmarks": str(landmarks)} if landmarks else {}
    entry |= {} if offset is None else {"offset": float(offset)}
    source = Landmarks("faces", entry, out)
    ids = source.image_ids()
    faces = source.points(ids)
    names = _names(faces)
    paths = source.paths()
    listed: list[dict[str, Any]] = []
    skipped: list[str] = []
    beyond = enlarged = 0
    for image_id in progress(ids, desc="crop faces", unit="image"):
        try:
            image, _ = read_image(paths[image_id])
        except ImageError as error:
            skipped.append(str(error))
            continue
        for number, points in enumerate(faces[image_id]):
            try:
                square = _square(points, image.shape[:2], scale)
            except DatasetError as error:
                skipped.append(f"{paths[image_id]}: face {number}: {error}")
                continue
            crop, moved = crop_square(image, points, square, size)
            write_png(out / names[image_id][number], crop)
            beyond += _reaches_beyond(square, image.shape[:2])
            enlarged += square[2] < size
            # Coordinates of a JSON file are indices from 0.
            rows = np.round(moved - ZERO_BASED, 4).tolist()
            listed.append({"file": names[image_id][number], "pts68": rows, "source": image_id})
    if not listed:
        raise DatasetError(f"{images}: no face could be cropped: {'; '.join(skipped[:3])}")
    write_json(out / LANDMARKS, {"size": size, "scale": scale, "faces": listed})
    return Cropped(len(listed), beyond, enlarged, tuple(skipped))


def _names(faces: dict[str, list[Points]]) -> dict[str, list[str]]:
    """Image id -> the file names of its crops; DatasetError where two are the same."""
    names: dict[str, list[str]] = {}
    owner: dict[str, str] = {}
    for image_id, each in faces.items():
        stem = image_id.rpartition(".")[0]
        names[image_id] = [
            f"{stem}-{number}.png" if len(each) > 1 else f"{stem}.png"
            for number in range(len(each))
        ]
        for name in names[image_id]:
            if (other := owner.setdefault(name, image_id)) != image_id:
                raise DatasetError(f"the crops of {other} and {image_id} would both be {name}")
    return names


def _square(points: Points, shape: tuple[int, ...], scale: float) -> tuple[float, float, float]:
    """Left, top and side of a face's crop in pixels; DatasetError where that is no crop."""
    low, high = points.min(axis=0), points.max(axis=0)
    side = float((high - low).max()) * scale
    middle = (low + high) / 2
    height, width = shape
    if side < 1:
        raise DatasetError("all its points are one")
    if not (0 <= middle[0] <= width and 0 <= middle[1] <= height):
        raise DatasetError(f"its points lie outside of the image, {width}x{height}")
    if side > FARTHEST * max(width, height):
        raise DatasetError(f"a crop of {side:.0f} pixels from an image of {width}x{height}")
    return float(middle[0]) - CENTRE[0] * side, float(middle[1]) - CENTRE[1] * side, side


def _reaches_beyond(square: tuple[float, float, float], shape: tuple[int, ...]) -> bool:
    left, top, side = square
    return left < 0 or top < 0 or left + side > shape[1] or top + side > shape[0]


def crop_square(
    image: NDArray[np.uint8], points: Points, square: tuple[float, float, float], size: int
) -> tuple[NDArray[np.uint8], Points]:
    """The pixels (size, size, 3) of a square of an image, and points in them.

    Coordinates are those of pixel areas: a pixel's centre lies at +0.5.
    """
    import numpy as np
    from PIL import Image as PillowImage

    left, top, side = square
    height, width = image.shape[:2]
    # A kernel of three pixels of the crop on either side is wholly within what is padded.
    edge = 3 * max(1.0, side / size) + 1
    before = [max(0, math.ceil(edge - value)) for value in (top, left)]
    after = [
        max(0, math.ceil(value + side + edge - limit))
        for value, limit in ((top, height), (left, width))
    ]
    pads = [(before[0], after[0]), (before[1], after[1]), (0, 0)]
    padded = PillowImage.fromarray(np.pad(image, pads, mode="edge"))
    x, y = left + before[1], top + before[0]
    crop = padded.resize(
        (size, size), PillowImage.Resampling.LANCZOS, box=(x, y, x + side, y + side)
    )
    return np.asarray(crop), (points - np.array([left, top])) * (size / side)
