"""Image files as a sequence of images: decoded when drawn, the last ones kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import DatasetError
from icmbench.core.images.image_files import pixel_sha256, read_image
from icmbench.training.lazy import Lazy

CACHE_MB: Final = 1000  # of decoded images, where the configuration says nothing else

Image = NDArray[np.uint8]


class ImageFiles(Lazy[Image]):
    """Images uint8 (H, W, 3) of files, decoded when they are asked for.

    Images that were used last stay in memory, up to a number of bytes. That saves time and changes
    no value: an image is the same whether it was kept or is decoded again.

    Attributes:
        shapes: int64 (n, 2), height and width of every image.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        shapes: NDArray[np.int64],
        pixels: Sequence[str],
        cache_mb: float = CACHE_MB,
    ) -> None:
        """`pixels`: the `pixel_sha256` of every image; `cache_mb`: 10^6 bytes that are kept."""
        super().__init__(range(len(paths)), self._image)
        self.shapes = shapes
        self._paths, self._pixels = paths, pixels
        self._limit = round(cache_mb * 1e6)
        self._kept: OrderedDict[int, Image] = OrderedDict()
        self._bytes = 0

    @property
    def kept_bytes(self) -> int:
        """Bytes of the images that are in memory now."""
        return self._bytes

    def _image(self, number: int) -> Image:
        if (found := self._kept.get(number)) is not None:
            self._kept.move_to_end(number)
            return found
        image = self._decode(number)
        if image.nbytes <= self._limit:
            self._kept[number] = image
            self._bytes += image.nbytes
        while self._bytes > self._limit:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return image

    def _decode(self, number: int) -> Image:
        """The image of a file; DatasetError where its pixels are others than were listed."""
        image, _ = read_image(self._paths[number])
        if pixel_sha256(image) != self._pixels[number]:
            raise DatasetError(
                f"{self._paths[number]}: its pixels have changed since the training data were "
                "listed; start the run again, which lists them anew"
            )
        return image


def image_shapes(images: Sequence[Image]) -> NDArray[np.int64]:
    """Height and width of every image, int64 (n, 2); of `ImageFiles` without reading a file."""
    if isinstance(images, ImageFiles):
        return images.shapes
    return np.array([image.shape[:2] for image in images], np.int64).reshape(-1, 2)


def large_images(images: Sequence[Image], side: int) -> Sequence[Image]:
    """The images of at least `side` pixels a side, in their order."""
    numbers = np.flatnonzero(image_shapes(images).min(axis=1) >= side)
    return Lazy(numbers.tolist(), images.__getitem__)
