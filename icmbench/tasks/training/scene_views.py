"""Random augmented crops of scenes with annotations: training examples of the task models."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from pycocotools import mask as coco_mask

from icmbench.core.errors import DatasetError
from icmbench.scenes.labels import CATEGORY_IDS, IGNORE, THINGS
from icmbench.training.data import TrainingData
from icmbench.training.lazy import Lazy

SCALES: Final = (0.6, 1.4)  # of an image's side, relative to the network's input
JITTER: Final = 0.15  # of brightness, contrast and colour balance
GREY: Final = 114  # padding of images that are smaller than the network's input
SMALLEST: Final = (16, 0.1)  # what of a thing is left of pixels, and of its own, to be a target
VIEWS: Final = [*SCALES, JITTER, GREY, *SMALLEST]  # whatever decides how a view is drawn


@dataclass(frozen=True)
class Example:
    """One training example: the network's input and target.

    Attributes:
        pixels: uint8 (size, size, 3), RGB.
        labels: int64 (n,), positions of the things' names in `THINGS`.
        masks: bool (n, size, size), of the things.
        semantic: uint8 (size, size).
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    masks: NDArray[np.bool_]
    semantic: NDArray[np.uint8]


class Examples:
    """Random augmented crops of scenes, with their annotations.

    Raises DatasetError for an image without `<image>.json` and `<image>.semantic.png`
    beside it.
    """

    def __init__(self, data: TrainingData, size: int) -> None:
        self.data, self.size = data, size
        for path in data.paths:  # all are checked, none is kept
            _record(path)
            _map(path)
        self.records, self.maps = Lazy(data.paths, _record), Lazy(data.paths, _map)

    def draw(self, rng: np.random.Generator, count: int) -> list[Example]:
        """Augmented crops of `count` images: scaled, cropped or padded, flipped, recoloured."""
        total = len(self.records)
        numbers = rng.choice(total, count, replace=count > total)
        return [self._view(int(number), rng) for number in numbers]

    def _view(self, number: int, rng: np.random.Generator) -> Example:
        image, semantic = self.data.images[number], self.maps[number]
        labels, masks = _things(self.records[number])
        side = max(1, round(self.size * rng.uniform(*SCALES)))
        factor = side / min(image.shape[:2])
        height, width = (max(1, round(length * factor)) for length in image.shape[:2])
        place = [int(rng.integers(abs(self.size - n) + 1)) for n in (height, width)]
        mirror = rng.random() < 0.5

        def put(picture: NDArray[Any], fill: int, filter: PillowImage.Resampling) -> NDArray[Any]:
            small = np.asarray(PillowImage.fromarray(picture).resize((width, height), filter))
            placed = _place(small, self.size, place, fill)
            return placed[:, ::-1] if mirror else placed

        nearest = PillowImage.Resampling.NEAREST
        pixels = put(image, GREY, PillowImage.Resampling.BILINEAR)
        seen = [put(mask, 0, nearest) > 0 for mask in masks]
        least = [max(SMALLEST[0], SMALLEST[1] * mask.sum() * factor**2) for mask in masks]
        kept = [n for n, mask in enumerate(seen) if mask.sum() >= least[n]]
        empty = np.zeros((0, self.size, self.size), bool)
        return Example(
            _recolour(pixels, rng),
            labels[kept],
            np.stack([seen[n] for n in kept]) if kept else empty,
            put(semantic, IGNORE, nearest),
        )


def _record(path: Path) -> list[dict[str, Any]]:
    file = path.with_suffix(".json")
    try:
        things: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))["instances"]
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"{file}: no annotations of a scene: {error}") from error
    return things


def _map(path: Path) -> NDArray[np.uint8]:
    file = path.with_name(f"{path.stem}.semantic.png")
    try:
        with PillowImage.open(file) as picture:
            values: NDArray[Any] = np.asarray(picture)
    except OSError as error:
        raise DatasetError(f"{file}: no semantic map of a scene: {error}") from error
    if values.ndim != 2 or values.dtype != np.uint8:
        raise DatasetError(f"{file}: not a semantic map")
    return values


def _things(record: list[dict[str, Any]]) -> tuple[NDArray[np.int64], list[NDArray[np.uint8]]]:
    """Positions in `THINGS` and masks uint8 (H, W) of the things of a scene."""
    names = {number: THINGS.index(name) for name, number in CATEGORY_IDS.items()}
    things = [item for item in record if not item["iscrowd"]]
    labels = np.array([names[item["category_id"]] for item in things], np.int64)
    return labels, [coco_mask.decode(item["segmentation"]) for item in things]


def _place(picture: NDArray[Any], size: int, place: list[int], fill: int) -> NDArray[Any]:
    """A square of an image, or the image in a square, or both: one for each side."""
    out = np.full((size, size, *picture.shape[2:]), fill, picture.dtype)
    source, target = [], []
    for length, at in zip(picture.shape[:2], place, strict=True):
        inside = min(length, size)
        source.append(slice(at, at + inside) if length > size else slice(0, inside))
        target.append(slice(0, inside) if length > size else slice(at, at + inside))
    out[tuple(target)] = picture[tuple(source)]
    return out


def _recolour(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    gain = rng.uniform(1 - JITTER, 1 + JITTER) * rng.uniform(1 - JITTER / 2, 1 + JITTER / 2, 3)
    contrast = rng.uniform(1 - JITTER, 1 + JITTER)
    values = pixels.astype(np.float32) * gain.astype(np.float32)
    values = values.mean() + (values - values.mean()) * np.float32(contrast)
    recoloured: NDArray[np.uint8] = np.clip(np.round(values), 0, 255).astype(np.uint8)
    return recoloured


def boxes_of(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Boxes x1 y1 x2 y2, float32 (n, 4), x2 and y2 exclusive, of masks (n, H, W), none empty."""
    boxes = np.zeros((len(masks), 4), np.float32)
    for number, mask in enumerate(masks):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        boxes[number] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes
