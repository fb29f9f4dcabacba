"""codec-eval's CSV: a row per image, codec and quality; also other CSV files with its columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from icmbench.core.errors import MeasurementError
from icmbench.reporting.published.formats.common import (
    Given,
    Row,
    header_of,
    means,
    number,
    rows_of,
)
from icmbench.reporting.published.points import REAL, Point

TITLE = "codec-eval's CSV"
# Its importer's names of columns, in its order.
IMAGE: Final = ("image", "filename", "file", "name", "source", "input")
CODEC: Final = ("codec", "encoder", "format", "method")
SETTING: Final = ("quality", "q", "qp", "crf", "effort")
SIZE: Final = ("size", "file_size", "bytes", "filesize")
RATE: Final = ("bpp", "bits_per_pixel", "bitrate")
SIDES: Final = ("width", "height")
# Its PSNR is of R, G and B together; metrics of other names have no counterpart here.
METRICS: Final = {
    "psnr": "psnr_rgb", "psnr_rgb": "psnr_rgb", "ssimulacra2": "ssimulacra2",
    "ssim2": "ssimulacra2", "dssim": "dssim", "butteraugli": "butteraugli",
}  # fmt: skip
_AGREE: Final = 0.02  # a rate may be rounded


def recognises(text: str) -> bool:
    """True where the first line has columns of images, rates or sizes, and metrics."""
    names = header_of(text)
    rated = _one(names, RATE) or (_one(names, SIZE) and {*SIDES} <= {*names})
    return bool(_one(names, IMAGE) and rated and {*METRICS} & {*names})


def read(text: str, given: Given) -> list[Point]:
    """Read a file; a point is the mean over the images of one codec and quality."""
    if not recognises(text):
        raise MeasurementError(
            f"{given.file}: not {TITLE}: needed are columns such as image, codec, quality, bpp (or "
            "file_size, width and height) and psnr or ssimulacra2"
        )
    names = header_of(text)
    rows = rows_of(text, given)
    codec, setting = _one(names, CODEC), _one(names, SETTING)
    if given.codec and codec and len({row[codec] for row in rows}) > 1:
        rows = [row for row in rows if row[codec] == given.codec]
    rate = "its rate"
    rated = [{**row, rate: str(_rate(row, names, given))} for row in rows]
    dataset = given.named("dataset", None)

    def point(row: Row) -> tuple[str, str]:
        name = row[codec] if codec else None
        return given.named("codec", name), row[setting] if setting else ""

    columns = [name for name in METRICS if name in names]
    found = means(rated, point, _one(names, IMAGE), (rate, *columns), given)
    return [
        Point(
            name, dataset, mean[rate], METRICS[column], mean[column], given.origin,
            f"results file, mean of {images} images", given.bits or REAL,
        )
        for (name, _), (images, mean) in found.items()
        for column in columns
        if column in mean
    ]  # fmt: skip


def _rate(row: Row, names: Sequence[str], given: Given) -> float:
    """Bits per pixel of a row; MeasurementError where the size says another rate."""
    stated, size = _one(names, RATE), _one(names, SIZE)
    if not (size and {*SIDES} <= {*names} and row[size]):
        return number(row, stated, given)
    pixels = number(row, SIDES[0], given) * number(row, SIDES[1], given)
    if not pixels > 0:
        raise MeasurementError(f"{given.file}: an image of {pixels:g} pixels")
    counted = 8 * number(row, size, given) / pixels
    told = number(row, stated, given) if stated and row[stated] else counted
    if abs(told - counted) > _AGREE * counted:
        why = "bits in place of bytes" if abs(counted / 8 - told) < _AGREE * told else "no match"
        raise MeasurementError(
            f"{given.file}: {size} {row[size]} is {counted:.4g} bits per pixel, {stated} states "
            f"{told:.4g}: {why}"
        )
    return counted


def _one(names: Sequence[str], known: Sequence[str]) -> str:
    """The first of the known names that is there, or an empty text."""
    return next((name for name in known if name in names), "")
