"""Batches for Codec-Compare (webmproject/codec-compare): one row per image and operating point.

The program compares codecs on pairs of equally coded images. A batch is one codec entry on one
data set: constants and fields, each with a description, and rows of values in the fields' order.
It refuses rows of another length, and takes a field for text where one of its values is no number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from icmbench.core.errors import MeasurementError
from icmbench.core.files import write_text
from icmbench.core.typed_csv import read_table
from icmbench.metrics import METRICS
from icmbench.reporting.figures.lossless import lossless

LIST: Final = "batches.json"
# The program's own names of fields, where they differ from ours.
NAMES: Final = {"psnr_rgb": "psnr", "ms_ssim": "msssim"}
_DIGITS: Final = 6  # significant ones
_FIELDS: Final = {
    "image": ("original_name", "Name of the original image"),
    "width": ("width", "Pixel columns of the original"),
    "height": ("height", "Pixel rows of the original"),
    "codec": ("codec_spec", "Codec and operating point, as icmbench names it"),
    "quality": ("quality", "The codec's key quality"),
    "bytes": ("encoded_size", "Bytes of the file that was decoded"),
    "encode_s": ("encoding_time", "Seconds to encode, without process start and model loading"),
    "decode_s": ("decoding_time", "Seconds to decode, without process start and model loading"),
}


@dataclass(frozen=True)
class Batch:
    """A batch: data set, codec entry, content, and the number of measurements left out."""

    dataset: str
    family: str
    content: dict[str, Any]
    left_out: int


def export_batches(results: Path, folder: Path) -> list[str]:
    """Write `<data set>/<codec entry>.json` and the list of each data set; a line on each.

    Failed codings, and rows with a missing or infinite metric, are left out and counted; lossless
    entries have no batch. A list is what the program's `?load=` takes.

    Args:
        results: folder of a finished run.
        folder: is made; files of the same names are replaced.

    Raises MeasurementError where the run has no measurements or no provenance.
    """
    measured = sorted(results.glob("measurements/*/*"))
    provenance = results / "provenance.json"
    if not measured or not provenance.is_file():
        raise MeasurementError(
            f"{results}: no measurements and provenance; give the results folder of a finished run"
        )
    about = json.loads(provenance.read_text(encoding="utf-8"))
    listing = read_table(results / "tables" / "codecs.csv")
    codecs = {row["family"]: row for row in listing.to_dict("records")}
    lines, listed = [], dict[str, list[str]]()
    for home in measured:
        rows = _measurements(home, results)
        dataset, family = home.parent.name, home.name
        if rows.empty or lossless(rows).all():
            lines.append(f"{dataset}: {family}: no batch, it is lossless or was not coded")
            continue
        batch = make_batch(dataset, family, rows, codecs[family], about)
        name = f"{family}.json"
        write_text(folder / dataset / name, _json(batch.content))
        listed.setdefault(dataset, []).append(name)
        count, left = len(batch.content["field_values"]), batch.left_out
        lines.append(f"{dataset}: {family}: {count} rows" + (f", {left} left out" if left else ""))
    for dataset, names in listed.items():
        write_text(folder / dataset / LIST, _json([[name] for name in names]))
    return lines


def make_batch(
    dataset: str,
    family: str,
    rows: pd.DataFrame,
    codec: Mapping[Any, Any],
    about: Mapping[str, Any],
) -> Batch:
    """The batch of a codec entry.

    Args:
        rows: measurements, and `encode_s`, `decode_s` where they are known.
        codec: its row of the table `codecs`.
        about: the run's provenance.
    """
    coded = rows[rows["status"] == "ok"]
    coded = coded.assign(quality=coded["codec"].map(_quality))
    metrics = [name for name in METRICS if name in coded and coded[name].notna().any()]
    known = [name for name in _FIELDS if name in coded and coded[name].notna().all()]
    held = coded[np.isfinite(coded[metrics].to_numpy(dtype=float)).all(axis=1)]
    held = held.sort_values(["image", "codec"], kind="stable")
    left_out = len(rows) - len(held)
    fields = [_FIELDS[name] for name in known]
    fields += [(NAMES.get(name, name), _described(name)) for name in metrics]
    constants = {
        "name": ("Codec entry of the run", family),
        "codec": ("Codec", _codec_name(family, about)),
        "version": ("Packages and libraries that code", _text(codec.get("versions"))),
        "settings": ("Fixed settings of the codec", _text(codec.get("settings"))),
        "weights": ("Weights of a learned codec", _text(codec.get("weights"))),
        "source_data_set": ("Data set", dataset),
        "left_out": ("Measurements without a row: failed, or a metric without a finite value",
                     str(left_out)),
        "benchmark": ("Program that coded, decoded and measured",
                      f"icmbench {about['icmbench']}, revision {about['revision']}"),
    }  # fmt: skip
    content = {
        "constant_descriptions": [{name: words} for name, (words, _) in constants.items()],
        "constant_values": [value for _, value in constants.values()],
        "field_descriptions": [{name: words} for name, words in fields],
        "field_values": [_values(row) for row in held[[*known, *metrics]].itertuples(index=False)],
    }
    return Batch(dataset, family, content, left_out)


def _measurements(home: Path, results: Path) -> pd.DataFrame:
    """The measurements of a codec entry, with the seconds of every image where all are known."""
    rows = pd.concat([pd.read_parquet(path) for path in sorted(home.glob("*.parquet"))])
    timing = results / "timing" / home.parent.name / home.name
    for stage, key in (("encode", "encoding"), ("decode", "codec")):
        parts = [read_table(path) for path in sorted(timing.glob(f"*.{stage}.csv"))]
        if parts:
            # An embedded stream is encoded once for all its points.
            seconds = pd.concat(parts)[["image", "codec", "seconds"]]
            seconds.columns = pd.Index(["image", key, f"{stage}_s"])
            rows = rows.merge(seconds, on=["image", key], how="left", validate="many_to_one")
    return rows


def _codec_name(family: str, about: Mapping[str, Any]) -> str:
    entry = about["config"]["codecs"].get(family) or {}
    return str(entry.get("codec", family))


def _quality(spec: str) -> float:
    """The key `quality` of a codec spec; NaN where it has none."""
    for key, _, value in (item.partition("=") for item in spec.partition(":")[2].split(",")):
        if key == "quality":
            return float(value)
    return math.nan


def _described(name: str) -> str:
    metric = METRICS[name]
    better = "higher is better" if metric.higher_is_better else "lower is better"
    return f"{metric.title}{f' in {metric.unit}' if metric.unit else ''}; {better}"


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value)  # NaN: an empty cell


def _values(row: Sequence[Any]) -> list[Any]:
    return [value if isinstance(value, str) else _number(value) for value in row]


def _number(value: Any) -> int | float:
    number = float(f"{float(value):.{_DIGITS}g}") if value != int(value) else float(value)
    return int(number) if number.is_integer() else number


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"
