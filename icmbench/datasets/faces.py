"""Checks of annotated faces against the images that they are of, before anything is coded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from icmbench.core.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Number of points of an annotation -> the outer eye corners among them: of 300-W and of WFLW.
EYES: Final = {68: (36, 45), 98: (60, 72)}
# Location of the 68 points in an aligned face such as FFHQ's: x, y, width, height as shares.
ALIGNED: Final = (0.15, 0.25, 0.7, 0.65)
SMALLEST: Final = 4.0  # width and height of a face together, in pixels
SHOWN: Final = 5  # faults that an error lists


def tight_face(points: NDArray[np.float64]) -> dict[str, Any]:
    """A face, as in `icmbench.datasets.base.Annotations`, of points (68 or 98, 2)."""
    low, high = points.min(axis=0), points.max(axis=0)
    return {"bbox": [*low.tolist(), *(high - low).tolist()], "landmarks": points.tolist()}


def aligned_face(share: Sequence[float], width: int, height: int) -> dict[str, Any]:
    """A face without points: its box alone, a share of the image as decoded."""
    x, y, wide, high = share
    return {"bbox": [x * width, y * height, wide * width, high * height]}


def check_faces(
    what: str,
    landmarks: Mapping[str, Sequence[Mapping[str, Any]]],
    sizes: Mapping[str, tuple[int, int]],
) -> None:
    """Refuse faces that no landmark task can be run or judged on.

    Args:
        what: names the data set or file in the error.
        landmarks: as in `icmbench.datasets.base.Annotations`.
        sizes: image id -> width and height in pixels, as decoded; other images are not checked.

    Raises DatasetError that lists the images with what is wrong: more than half of a face's points
    outside of the image, a face of no size, outer eye corners that coincide.
    """
    faults = [
        f"{image!r}, face {number}: {fault}"
        for image, (width, height) in sorted(sizes.items())
        for number, face in enumerate(landmarks.get(image, []), 1)
        if (fault := face_fault(face, width, height))
    ]
    if faults:
        more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise DatasetError(f"{what}: {'; '.join(faults[:SHOWN])}{more}")


def face_fault(face: Mapping[str, Any], width: int, height: int) -> str:
    """Fault of a face in an image of this size; "" if there is none."""
    import numpy as np

    x, y, wide, high = face["bbox"]
    where = f"the {width}x{height} image"
    if "landmarks" not in face:
        inside = x + wide > 0 and y + high > 0 and x < width and y < height
        return "" if inside and wide + high >= SMALLEST else f"its box is not inside {where}"
    points = np.asarray(face["landmarks"], np.float64)
    if min(wide, high) <= 0 or wide + high < SMALLEST:
        text = f"its points span {wide:g}x{high:g} pixels"
        if np.abs(points).max() <= 2:
            text += "; pixels are expected, not shares of the image"
        return text
    outside = ((points < 0) | (points > (width, height))).any(axis=1)
    if outside.sum() * 2 > len(points):
        text = f"{outside.sum()} of its {len(points)} points lie outside of {where}"
        if not ((points < 0) | (points > (height, width))).any():
            text += "; they fit the image before it was turned by its EXIF orientation"
        return text
    first, second = (points[place] for place in EYES[len(points)])
    return "its outer eye corners coincide" if (first == second).all() else ""
