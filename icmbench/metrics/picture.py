"""An image as input of metrics, with a cache of feature maps computed from it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from icmbench.core.errors import MeasurementError

if TYPE_CHECKING:  # it takes seconds to load, and PSNR does not need it
    import torch

T = TypeVar("T")


class Picture:
    """One 8-bit sRGB image and the features that metrics derived from it alone.

    A run measures many reconstructions of one original in a row; the original's features are
    computed by the same functions as the reconstruction's, once, so the numbers do not depend on
    whether they were kept.
    """

    def __init__(self, pixels: np.ndarray, device: str = "cpu") -> None:
        """`pixels` is uint8 (height, width, 3); anything else raises MeasurementError."""
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise MeasurementError(
                "metrics take uint8 images of shape (height, width, 3), "
                f"not {pixels.dtype} of shape {pixels.shape}"
            )
        if 0 in pixels.shape:
            raise MeasurementError(f"an image of shape {pixels.shape} has no pixels to measure")
        # A copy: the caller may decode the next image into the same buffer.
        self.pixels: np.ndarray = np.array(pixels, order="C")
        self.device = device
        self._kept: dict[Hashable, object] = {}

    @property
    def min_side(self) -> int:
        """The smaller of height and width, in pixels."""
        return int(min(self.pixels.shape[:2]))

    @property
    def flat(self) -> bool:
        """True where all pixels are equal."""
        return bool((self.pixels == self.pixels[0, 0]).all())

    @property
    def tensor(self) -> torch.Tensor:
        """float32 (1, 3, height, width), values 0 to 255, on the image's device."""
        return self.once("tensor", self._to_tensor)

    def _to_tensor(self) -> torch.Tensor:
        import torch

        planes = torch.from_numpy(self.pixels).to(self.device).permute(2, 0, 1)
        return planes[None].to(torch.float32).contiguous()

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The value of `compute`, which is called the first time only."""
        if key not in self._kept:
            self._kept[key] = compute()
        return cast(T, self._kept[key])
