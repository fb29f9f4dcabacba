"""The measuring job: reconstructions against originals, one row per image and codec spec."""

from __future__ import annotations

import json
import logging
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd

from icmbench.codecs.base import Image
from icmbench.core.devices import keep_freed_memory
from icmbench.core.errors import MeasurementError
from icmbench.core.images.image_files import read_image
from icmbench.core.progress import progress
from icmbench.datasets.records import Record
from icmbench.evaluation import archive
from icmbench.evaluation.shard import DECODED, read_rows
from icmbench.metrics.meter import Meter

log = logging.getLogger(__name__)

COLUMNS: Mapping[str, str] = {
    "dataset": "str",
    "image": "str",
    "family": "str",
    "codec": "str",
    "encoding": "str",
    "bytes": "Int64",
    "width": "int64",
    "height": "int64",
    "bpp": "float64",
    "digest": "str",
    "device": "str",
    "status": "str",
    "detail": "str",
}


def measure_shard(
    dataset: str,
    entry: str,
    records: Sequence[Record],
    folder: Path,
    meter: Meter,
    *,
    pictures: Path,
    decoded: Path,
    lossless: bool = False,
    known: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
) -> pd.DataFrame:
    """Measure every reconstruction of a shard.

    bits per pixel = 8 x bytes of the file that was decoded / (original width x height).

    Args:
        lossless: the entry's reconstructions must equal the originals.
        known: rows by codec spec and image that an earlier entry has measured.

    Returns:
        One row per image and codec spec: `COLUMNS` and the meter's metrics. A failed encoding,
        a failed decoding, a reconstruction of the wrong size and a lossless codec that loses are
        rows whose status says so and whose metrics are empty.
    """
    keep_freed_memory()
    rows_of: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in read_rows(decoded, DECODED):
        rows_of[row["image"]].append(row)
    rows: list[dict[str, Any]] = []
    with archive.reader(pictures) as source:
        for record in progress(records, desc=f"measure {entry}", unit="image"):
            original, _ = read_image(folder / record.path)
            for coded in rows_of[record.image]:
                if measured := (known or {}).get((coded["codec"], record.image)):
                    rows.append(dict(measured))
                    continue
                base: dict[str, Any] = {"dataset": dataset, "family": entry, **coded}
                base |= {"width": record.width, "height": record.height}
                rows.append(base | _measure(source, coded, original, meter, lossless))
    return _frame(rows, meter.names)


def measured(
    shared: Mapping[str, Sequence[str]], files: Sequence[str], entry: str
) -> dict[tuple[str, str], dict[str, Any]]:
    """Measurement rows of earlier entries by codec spec and image, under the name `entry`.

    Args:
        shared: codec specs by earlier entry.
        files: their measurements of the shard, in the same order.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for strings, path in zip(shared.values(), files, strict=True):
        frame = pd.read_parquet(path)
        for row in frame[frame["codec"].isin(set(strings))].to_dict("records"):
            found[row["codec"], row["image"]] = {str(k): v for k, v in row.items()}
            found[row["codec"], row["image"]]["family"] = entry
    return found


def check_measurements(frame: pd.DataFrame, schema: Path) -> None:
    """Check a measurement table against its JSON schema.

    Raises MeasurementError naming the first row that does not fit, so that a codec or a metric
    that writes nonsense stops here and not in a figure.
    """
    checker = jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))
    for index, row in enumerate(frame.astype(object).to_dict("records")):
        plain = {key: None if pd.isna(value) else value for key, value in row.items()}
        for error in checker.iter_errors(plain):
            where = ".".join(map(str, error.path)) or "row"
            what = f"measurement {index} ({row['codec']}): {where}"
            raise MeasurementError(f"{what}: {error.message}")


def _measure(
    source: zipfile.ZipFile,
    coded: Mapping[str, str],
    original: Image,
    meter: Meter,
    lossless: bool,
) -> dict[str, Any]:
    nothing: dict[str, Any] = {"bytes": pd.NA, "bpp": np.nan, "digest": ""}
    if coded["status"] != "ok":
        return nothing
    height, width = original.shape[:2]
    name = archive.picture_member(coded["codec"], coded["image"])
    try:
        image = archive.read_picture(source, name)
    except MeasurementError as error:
        log.warning("%s, %s: %s", coded["codec"], coded["image"], error)
        return nothing | {"status": "measure-failed", "detail": str(error)}
    if image.shape != original.shape:
        text = f"decoded to {image.shape[1]}x{image.shape[0]}, the original is {width}x{height}"
        return nothing | {"status": "wrong-size", "detail": text}
    if lossless and not np.array_equal(image, original):
        return nothing | {"status": "not-lossless", "detail": "a lossless codec lost something"}
    try:
        values = meter(original, image)
    except MeasurementError as error:
        log.warning("%s, %s: %s", coded["codec"], coded["image"], error)
        return nothing | {"status": "measure-failed", "detail": str(error)}
    size = int(coded["bytes"])
    return {"bytes": size, "bpp": 8 * size / (width * height), **values}


def _frame(rows: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> pd.DataFrame:
    types = {**COLUMNS, **dict.fromkeys(metrics, "float64")}
    frame = pd.DataFrame(list(rows), columns=list(types))
    for column in ("status", "detail", "digest", "device"):
        frame[column] = frame[column].fillna("")
    return frame.astype(types)
