"""Input of exported networks from an image: size, channel order, range of values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from icmbench.core.errors import ConfigError
from icmbench.datasets.options import Option
from icmbench.tasks.base import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHANNELS: Final = ("rgb", "bgr")
# Options that every exported network needs: the input is (value - mean) / std / scale.
PIXELS: Final[Mapping[str, Option]] = {
    "channels": Option(str, default="rgb", help="their order in the input: rgb or bgr"),
    "mean": Option(
        list,
        default=[0.0, 0.0, 0.0],
        help="the input is (value - mean) / std / scale, values 0-255; mean and std per channel, "
        "in the order of `channels`",
    ),
    "std": Option(list, default=[1.0, 1.0, 1.0], help="see mean"),
    "scale": Option(float, default=1.0, help="see mean"),
}


def check_pixels(what: str, values: Mapping[str, Any]) -> None:
    """ConfigError where options of `PIXELS` are none of the known ones."""
    if values["channels"] not in CHANNELS:
        known = ", ".join(CHANNELS)
        raise ConfigError(f"{what}: channels={values['channels']!r} is none of {known}")
    for key in ("mean", "std"):
        numbers = [n for n in values[key] if isinstance(n, int | float) and math.isfinite(n)]
        if len(numbers) != 3 or len(values[key]) != 3:
            raise ConfigError(f"{what}: {key}={values[key]!r} is not three numbers")
    if not (values["scale"] and all(values["std"])):
        raise ConfigError(f"{what}: std and scale cannot be 0")


def to_tensor(image: Image, values: Mapping[str, Any]) -> NDArray[np.float32]:
    """An image uint8 (H, W, 3), sRGB, as float32 (1, 3, H, W) by the options of `PIXELS`."""
    import numpy as np

    pixels = image[:, :, ::-1] if values["channels"] == "bgr" else image
    mean, std = np.float32(values["mean"]), np.float32(values["std"])
    scaled = (pixels.astype(np.float32) - mean) / std / np.float32(values["scale"])
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], np.float32)


def resize(image: Image, height: int, width: int) -> Image:
    """Bilinear without smoothing, 8 bits in and out: what OpenCV's `resize` does by default."""
    import numpy as np

    if image.shape[:2] == (height, width):
        return image
    planes = resize_planes(image.transpose(2, 0, 1)[None].astype(np.float32), height, width)
    result: Image = np.rint(planes[0].transpose(1, 2, 0)).astype(np.uint8)
    return result


def resize_planes(planes: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Bilinear without smoothing: float32 (1, C, h, w) to (1, C, height, width)."""
    import torch

    resized = torch.nn.functional.interpolate(
        torch.from_numpy(planes), (height, width), mode="bilinear", align_corners=False
    )
    result: NDArray[np.float32] = resized.numpy()
    return result
