"""Figure of a visual comparison: reconstructions of all codec entries at about one rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from icmbench.codecs.specs import parse_spec
from icmbench.core.images.image_files import read_image
from icmbench.datasets.records import Record
from icmbench.evaluation.decode import DecodeOne
from icmbench.evaluation.shard import CodecEntry
from icmbench.reporting.figures.matching import matched_rate, unmatched_families
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.visual import Entry, visual_comparison


def visual_figure(
    dataset: str,
    record: Record,
    folder: Path,
    bpp: float,
    measurements: pd.DataFrame,
    streams: Mapping[str, Path],
    families: Mapping[str, CodecEntry],
    decode: DecodeOne,
) -> Figure:
    """Draw one image and its reconstruction by every codec entry at about `bpp` bits per pixel.

    Args:
        folder: the record's path is relative to it.
        measurements: rows of the image's shard, all codec entries.
        streams: codec entry -> archive of the shard's streams, from which images are decoded.
        families: codec entries by name.
        decode: of `evaluation.decode.decoding`.

    PSNR is printed where `psnr_rgb` is among the measurements. Where the image was refused, or no
    codec entry has a point near the rate, the figure is a placeholder with the reason. Raises
    MeasurementError where the image was never measured.
    """
    title = f"{dataset}: {record.image} at about {bpp:g} bits per pixel"
    if record.status != "ok":
        return placeholder(title, f"the image was refused: {record.status}")
    original, _ = read_image(folder / record.path)
    chosen = matched_rate(measurements, dataset, record.image, bpp)
    entries = []
    for row in chosen.to_dict("records"):
        family = families[row["family"]]
        point = parse_spec(row["codec"])
        image = decode(family, streams[row["family"]], point, record.image)
        psnr = row.get("psnr_rgb", math.nan)
        known = None if pd.isna(psnr) else float(psnr)
        entries.append(Entry(row["family"], row["codec"], row["bpp"], known, image))
    return visual_comparison(
        original,
        entries,
        title=title,
        left_out=unmatched_families(measurements, chosen, dataset, record.image),
    )
