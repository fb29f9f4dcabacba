"""Cool-Chic's TSV: a row per image and λ, `results/*/image-*.tsv` or joined encoder logs."""

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
from icmbench.reporting.published.points import ESTIMATED, NOT_STATED, REAL, Point

TITLE = "Cool-Chic's TSV"
IMAGE, SETTING, RATE, QUALITY, PIXELS, FRAMES = (
    "seq_name", "lmbda", "rate_bpp", "psnr_db", "n_pixels", "n_frames",
)  # fmt: skip
NEEDED: Final = (IMAGE, SETTING, RATE, QUALITY)


def recognises(text: str) -> bool:
    """True where the first line has its columns, separated by tabs."""
    return {*NEEDED} <= {*header_of(text, "\t")}


def read(text: str, given: Given) -> list[Point]:
    """Read a file; a point is the mean over the images of one λ.

    Files of videos are refused. PSNR of YUV sequences is weighted over the planes: `psnr_yuv`.
    """
    if not recognises(text):
        raise MeasurementError(f"{given.file}: not {TITLE}: no columns {', '.join(NEEDED)}")
    rows = rows_of(text, given, "\t")
    if not rows:
        return []
    if FRAMES in rows[0]:
        raise MeasurementError(f"{given.file}: results of videos; give those of images")
    codec, dataset = given.named("codec", None), given.named("dataset", None)
    metric = "psnr_yuv" if any("yuv" in row[IMAGE] for row in rows) else "psnr_rgb"
    bits = given.bits or _bits(rows, given)
    found = means(rows, lambda row: (codec, row[SETTING]), IMAGE, (RATE, QUALITY), given)
    return [
        Point(
            codec, dataset, mean[RATE], metric, mean[QUALITY], given.origin,
            f"results file, mean of {images} images", bits,
        )
        for images, mean in found.values()
    ]  # fmt: skip


def _bits(rows: Sequence[Row], given: Given) -> str:
    """Real where every rate is a whole number of bytes within its printed digits."""
    if PIXELS not in rows[0]:
        return NOT_STATED
    for row in rows:
        byte = number(row, PIXELS, given) / 8
        size = number(row, RATE, given) * byte
        digits = len(row[RATE].partition(".")[2])
        if abs(size - round(size)) > 0.51 * byte * 10.0**-digits + 1e-6:
            return ESTIMATED
    return REAL
