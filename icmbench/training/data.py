"""The training data: images in memory, from which random crops are drawn."""

from __future__ import annotations

import dataclasses
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
from icmbench.core.images.image_files import pixel_sha256, read_image
from icmbench.core.progress import progress
from icmbench.datasets.kodak import PIXELS
from icmbench.datasets.manifest import read_records
from icmbench.datasets.photos import PHOTOS

log = logging.getLogger(__name__)

# sha256 of the pixels of what is for testing only, and its name.
TEST_PIXELS: Final = {
    **{digest: f"{name} of kodak" for name, digest in PIXELS.items()},
    **{photo.sha256: f"{name} of photos" for name, photo in PHOTOS.items()},
}


UNSTATED: Final = "no licence stated"


@dataclass(frozen=True)
class TrainingData:
    """Images `uint8 (H, W, 3)` in a fixed order, and a digest of their pixels.

    Attributes:
        sources: per source, its name and the number of its images.
        licences: of the images by source, as the data sets declare them, sorted.
        paths: the image files, in the order of the images.
    """

    images: tuple[NDArray[np.uint8], ...]
    digest: str
    sources: tuple[tuple[str, int], ...]
    licences: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()

    def crops(self, rng: np.random.Generator, count: int, size: int) -> NDArray[np.float32]:
        """Random crops, (count, 3, size, size) in [-1, 1]: reduced by up to 2, mirrored at will."""
        return self.crops_of(rng, count, size)[0]

    def crops_of(
        self, rng: np.random.Generator, count: int, size: int
    ) -> tuple[NDArray[np.float32], list[int]]:
        """`crops`, and the numbers of the images that they are from."""
        out = np.empty((count, 3, size, size), np.float32)
        numbers = []
        for index in range(count):
            numbers.append(int(rng.integers(len(self.images))))
            image = self.images[numbers[-1]]
            height, width = image.shape[:2]
            largest = min(2.0, height / size, width / size)
            side = max(size, int(size * rng.uniform(1.0, max(largest, 1.0))))
            top = int(rng.integers(height - side + 1))
            left = int(rng.integers(width - side + 1))
            crop = image[top : top + side, left : left + side]
            if side > size:
                picture = PillowImage.fromarray(crop)
                crop = np.asarray(picture.resize((size, size), PillowImage.Resampling.LANCZOS))
            if rng.random() < 0.5:
                crop = crop[:, ::-1]
            out[index] = crop.transpose(2, 0, 1) / np.float32(127.5) - np.float32(1)
        return out, numbers


def read_training_data(
    sources: Sequence[tuple[str, Sequence[Path]]], *, smallest: int
) -> TrainingData:
    """Read the images of every source; those with a side below `smallest` are left out.

    Raises DatasetError where a source has none left and for an image of a test set under any file
    name (a changed copy, such as a smaller one, is not detected); ImageError for a file that is no
    image.
    """
    images: list[NDArray[np.uint8]] = []
    counts: list[tuple[str, int]] = []
    digests: list[str] = []
    kept: list[Path] = []
    for name, paths in sources:
        before = len(images)
        for path in progress(sorted(paths), desc=name, unit="image"):
            image, _ = read_image(path)
            if min(image.shape[:2]) >= smallest:
                images.append(image)
                kept.append(path)
                digests.append(_training_digest(path, image))
        counts.append((name, len(images) - before))
        if (small := len(paths) - counts[-1][1]) == len(paths):
            raise DatasetError(
                f"training data: {name!r} holds no image of at least {smallest} pixels a side"
            )
        log.info("%s: %d images, %d too small", name, counts[-1][1], small)
    if not images:
        raise DatasetError("the training data are empty")
    digest = sha256_bytes("".join(digests).encode())
    return TrainingData(tuple(images), digest, tuple(counts), paths=tuple(kept))


def _training_digest(path: Path, image: NDArray[np.uint8]) -> str:
    digest = pixel_sha256(image)
    if digest in TEST_PIXELS:
        raise DatasetError(
            f"training data: {path} is {TEST_PIXELS[digest]}: for testing only; remove it "
            "from the training data"
        )
    return digest


def read_provided(
    lists: Sequence[Path | str], folders: Sequence[Path | str], *, smallest: int
) -> TrainingData:
    """Read the images of provided data sets: per source its list of records and its folder.

    A source is named by the folder that its list lies in. Broken images are left out.
    """
    sources: list[tuple[str, list[Path]]] = []
    licences: set[str] = set()
    for path, folder in zip(map(Path, lists), map(Path, folders), strict=True):
        good = [record for record in read_records(path) if record.status == "ok"]
        sources.append((path.parent.name, [folder / record.path for record in good]))
        name = path.parent.name
        licences |= {f"{name}: {record.licence or UNSTATED}" for record in good}
    data = read_training_data(sources, smallest=smallest)
    return dataclasses.replace(data, licences=tuple(sorted(licences)))
