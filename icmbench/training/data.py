"""The training data: image files, decoded when they are drawn, and random crops of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from icmbench.core.errors import DatasetError
from icmbench.core.files import sha256_bytes
from icmbench.core.progress import progress
from icmbench.datasets.records import Record
from icmbench.training.images import CACHE_MB, Image, ImageFiles, image_shapes
from icmbench.training.records import (
    JOINED,
    UNTAGGED,
    TrainingRecord,
    read_training_records,
    refuse_test_image,
    training_record,
)
from icmbench.training.shares import Share

log = logging.getLogger(__name__)

UNSTATED: Final = "no licence stated"

Listed = list[tuple[Path, TrainingRecord]]


@dataclass(frozen=True)
class TrainingData:
    """Images `uint8 (H, W, 3)` in a fixed order, and a digest of their pixels.

    Attributes:
        images: in memory, or `ImageFiles`, which are decoded when they are asked for.
        sources: per source, its name and the number of its images.
        licences: of the images by source, as the data sets declare them, sorted.
        paths: the image files, in the order of the images.
        pixels: digests of their pixels (`pixel_sha256`), as well.
        class_tags: what a classifier finds in them, as well; None: it was not asked.
    """

    images: Sequence[Image]
    digest: str
    sources: tuple[tuple[str, int], ...]
    licences: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()
    pixels: tuple[str, ...] = ()
    class_tags: tuple[tuple[str, ...] | None, ...] = ()

    @property
    def shapes(self) -> NDArray[np.int64]:
        """Height and width of every image, int64 (n, 2); no image is decoded for it."""
        return image_shapes(self.images)

    def crops(self, rng: np.random.Generator, count: int, size: int) -> NDArray[np.float32]:
        """Random crops, (count, 3, size, size) in [-1, 1]: reduced by up to 2, mirrored at will."""
        return self.crops_of(rng, count, size)[0]

    def crops_of(
        self, rng: np.random.Generator, count: int, size: int, share: Share | None = None
    ) -> tuple[NDArray[np.float32], list[int]]:
        """`crops`, and the numbers of the images that they are from.

        With a share of the `count` crops, both are those of the share: all are drawn, and only the
        images of the share are decoded.
        """
        drawn = [self._crop(rng, size) for _ in range(count)]
        chosen = share.rows(drawn) if share else drawn
        out = np.empty((len(chosen), 3, size, size), np.float32)
        for index, (number, top, left, side, mirrored) in enumerate(chosen):
            crop = self.images[number][top : top + side, left : left + side]
            if side > size:
                picture = PillowImage.fromarray(crop)
                crop = np.asarray(picture.resize((size, size), PillowImage.Resampling.LANCZOS))
            if mirrored:
                crop = crop[:, ::-1]
            out[index] = crop.transpose(2, 0, 1) / np.float32(127.5) - np.float32(1)
        return out, [number for number, *_ in chosen]

    def _crop(self, rng: np.random.Generator, size: int) -> tuple[int, int, int, int, bool]:
        """Draw a crop: number of the image, top, left, side, mirrored or not."""
        number = int(rng.integers(len(self.images)))
        if isinstance(self.images, ImageFiles):
            height, width = map(int, self.images.shapes[number])
        else:
            height, width = self.images[number].shape[:2]
        largest = min(2.0, height / size, width / size)
        side = max(size, int(size * rng.uniform(1.0, max(largest, 1.0))))
        top = int(rng.integers(height - side + 1))
        left = int(rng.integers(width - side + 1))
        return number, top, left, side, bool(rng.random() < 0.5)


def read_training_data(
    sources: Sequence[tuple[str, Sequence[Path]]], *, smallest: int, cache_mb: float = CACHE_MB
) -> TrainingData:
    """The training data of files of which nothing is known: each is read once, none is kept.

    Args:
        sources: names and files.
        smallest: images with a shorter side in pixels are left out.
        cache_mb: 10^6 bytes of decoded images that stay in memory.

    Raises DatasetError where a source has no image left and for an image of a test set under any
    file name; ImageError for a file that is no image.
    """
    listed = [
        (
            name,
            [
                (path, training_record(Record(path.name, str(path)), path))
                for path in progress(paths, desc=name, unit="image")
            ],
        )
        for name, paths in sources
    ]
    return _training_data(listed, smallest, cache_mb)


def read_provided(
    lists: Sequence[Path | str],
    folders: Sequence[Path | str],
    *,
    smallest: int,
    cache_mb: float = CACHE_MB,
) -> TrainingData:
    """The training data of provided data sets: per source its list and its folder.

    A source is named by the folder that its list lies in. Broken images are left out. No image is
    read: sizes and digests are those of the list. Arguments and errors are otherwise those of
    `read_training_data`; DatasetError, too, for what is no list of training images.
    """
    sources: list[tuple[str, Listed]] = []
    licences: set[str] = set()
    for path, folder in zip(map(Path, lists), map(Path, folders), strict=True):
        name, good = path.parent.name, read_training_records(path)
        sources.append((name, [(folder / record.path, record) for record in good]))
        licences |= {f"{name}: {record.licence or UNSTATED}" for record in good}
    return _training_data(sources, smallest, cache_mb, tuple(sorted(licences)))


def _training_data(
    sources: Sequence[tuple[str, Listed]],
    smallest: int,
    cache_mb: float,
    licences: tuple[str, ...] = (),
) -> TrainingData:
    """The images of at least `smallest` pixels a side, source by source, in the order of files."""
    kept: Listed = []
    counts: list[tuple[str, int]] = []
    for name, listed in sources:
        for path, record in listed:
            refuse_test_image(path, record.pixels)
        large = [each for each in listed if min(each[1].width, each[1].height) >= smallest]
        if not large:
            raise DatasetError(
                f"training data: {name!r} holds no image of at least {smallest} pixels a side"
            )
        log.info("%s: %d images, %d too small", name, len(large), len(listed) - len(large))
        counts.append((name, len(large)))
        kept += sorted(large, key=lambda each: each[0])
    if not kept:
        raise DatasetError("the training data are empty")
    paths = tuple(path for path, _ in kept)
    shapes = np.array([(record.height, record.width) for _, record in kept], np.int64)
    pixels = tuple(record.pixels for _, record in kept)
    images = ImageFiles(paths, shapes, pixels, cache_mb)
    digest = sha256_bytes("".join(pixels).encode())
    tags = tuple(_class_tags(record) for _, record in kept)
    return TrainingData(images, digest, tuple(counts), licences, paths, pixels, tags)


def _class_tags(record: TrainingRecord) -> tuple[str, ...] | None:
    if record.tags == UNTAGGED:
        return None
    return tuple(name for name in record.tags.split(JOINED) if name)
