"""Visual comparison: reconstructions of one image by all codec entries at about one rate."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from icmbench.codecs.specs import parse_spec
from icmbench.core.images.image_files import read_image
from icmbench.datasets.records import Record
from icmbench.evaluation import archive
from icmbench.evaluation.decode import DecodeOne
from icmbench.evaluation.shard import CodecEntry
from icmbench.metrics import METRICS
from icmbench.reporting.figures.matching import matched_rate, unmatched_families
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.visual import Entry, visual_comparison


@dataclass(frozen=True)
class Matched:
    """An image and its reconstructions at about one rate.

    Attributes:
        dataset, image: the image.
        bpp: the rate, in bits per pixel.
        original: uint8 (H, W, 3); None where the image was refused.
        rows: measurements of the chosen operating points, one per codec entry.
        entries: their reconstructions, in the same order.
        left_out: codec entries without a point near the rate.
        refused: the reason for which the image was refused, or an empty text.
    """

    dataset: str
    image: str
    bpp: float
    original: NDArray[np.uint8] | None
    rows: list[dict[str, Any]]
    entries: list[Entry]
    left_out: list[str]
    refused: str = ""


def match_image(
    dataset: str,
    record: Record,
    folder: Path,
    bpp: float,
    measurements: pd.DataFrame,
    streams: Mapping[str, Path],
    families: Mapping[str, CodecEntry],
    decode: DecodeOne,
) -> Matched:
    """Decode one image from the stream of every codec entry at about `bpp` bits per pixel.

    Args:
        folder: the record's path is relative to it.
        measurements: rows of the image's shard, all codec entries.
        streams: codec entry -> archive of the shard's streams, from which images are decoded.
        families: codec entries by name.
        decode: of `evaluation.decode.decoding`.

    Raises MeasurementError where the image was never measured.
    """
    if record.status != "ok":
        return Matched(dataset, record.image, bpp, None, [], [], [], refused=record.status)
    original, _ = read_image(folder / record.path)
    chosen = matched_rate(measurements, dataset, record.image, bpp)
    rows = [{str(key): value for key, value in row.items()} for row in chosen.to_dict("records")]
    entries = []
    for row in rows:
        family = families[row["family"]]
        point = parse_spec(row["codec"])
        image = decode(family, streams[row["family"]], point, record.image)
        psnr = row.get("psnr_rgb", math.nan)
        known = None if pd.isna(psnr) else float(psnr)
        entries.append(Entry(row["family"], row["codec"], row["bpp"], known, image))
    left_out = unmatched_families(measurements, chosen, dataset, record.image)
    return Matched(dataset, record.image, bpp, original, rows, entries, left_out)


def visual_figure(matched: Matched) -> Figure:
    """Draw an image and its reconstructions.

    PSNR is printed where `psnr_rgb` was measured. Where the image was refused, or no codec entry
    has a point near the rate, the figure is a placeholder with the reason.
    """
    title = f"{matched.dataset}: {matched.image} at about {matched.bpp:g} bits per pixel"
    if matched.original is None:
        return placeholder(title, f"the image was refused: {matched.refused}")
    return visual_comparison(
        matched.original, matched.entries, title=title, left_out=matched.left_out
    )


def write_viewer_images(matched: Matched, path: Path) -> None:
    """Write an image and its reconstructions for the report's viewer.

    The archive holds PNGs and `comparison.json`, which names them with the codec spec, the rate
    and every measured metric (null: missing or infinite) of each.
    """
    listed = []
    with archive.create(path) as out:
        if matched.original is not None:
            out.add_image("original.png", matched.original, compress=True)
        for number, (row, entry) in enumerate(zip(matched.rows, matched.entries, strict=True)):
            file = f"{number}.png"
            out.add_image(file, entry.image, compress=True)
            values = {name: _finite(row[name]) for name in METRICS if name in row}
            listed.append(
                {"family": entry.family, "codec": entry.codec, "bpp": _finite(entry.bpp),
                 "values": values, "file": file}
            )  # fmt: skip
        content = {
            "dataset": matched.dataset,
            "image": matched.image,
            "bpp": matched.bpp,
            "refused": matched.refused,
            "entries": listed,
            "left_out": matched.left_out,
        }
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        out.add("comparison.json", text.encode())


def _finite(value: Any) -> float | None:
    """Six significant digits, as in the tables."""
    return float(f"{value:.6g}") if pd.notna(value) and math.isfinite(value) else None
