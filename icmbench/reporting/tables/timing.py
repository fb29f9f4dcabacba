"""The timing table: median seconds per image and their spread, coding and decoding apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from icmbench.core.errors import MeasurementError
from icmbench.reporting.statistics.comparison import numbers
from icmbench.reporting.statistics.natural import NaturalKey, natural_key

COLUMNS = (
    "codec", "device", "images", "encode_s", "encode_s_spread", "decode_s", "decode_s_spread",
    "dataset", "family", "megapixels", "encode_start_s", "decode_start_s",
)  # fmt: skip
REQUIRED = (
    "stage", "dataset", "family", "codec", "image", "pixels", "device", "seconds", "start_s",
)  # fmt: skip
RowKey = tuple[str, str, str, str]


def encodings(measurements: pd.DataFrame) -> dict[str, str]:
    """Codec spec -> encoding, from the measurements' columns `codec` and `encoding`.

    Raises `MeasurementError` if a codec spec stands beside two encodings.
    """
    found: dict[str, str] = {}
    pairs = measurements[["codec", "encoding"]].drop_duplicates()
    for codec, encoding in sorted(zip(pairs["codec"], pairs["encoding"], strict=True)):
        if found.setdefault(codec, encoding) != encoding:
            raise MeasurementError(f"{codec} has two encodings: {found[codec]}, {encoding}")
    return found


def timing_table(parts: pd.DataFrame, encoding_of: Mapping[str, str]) -> pd.DataFrame:
    """One row per data set, family, codec spec and device; columns `COLUMNS`.

    `parts` has one row per stage (`encode`, `decode`) and image, columns `REQUIRED`; `codec` is
    the encoding in the rows of stage `encode`, and `encoding_of` says which one a codec spec
    belongs to (see `encodings`). An embedded codec is encoded once for all its points: each of
    its codec specs shows the seconds of that one encoding, so the column does not add up.

    `encode_s`, `decode_s`: median seconds per image; `_spread`: interquartile range (linear
    interpolation); `_start_s`: median of process start and model loading, which the seconds do
    not contain; `megapixels`: median image size; `images`: images timed in either stage. Rows
    without seconds (the image failed) are left out. A stage that did not run on a device is
    empty in that device's row. An encoding of which nothing was decoded has a row under its own
    string. Sorted by dataset, family, codec (`quality=8` before `quality=62`), device.

    Raises `MeasurementError` for a missing column, another stage, the same image twice, or a
    decoded codec spec that `encoding_of` does not know.
    """
    rows = [_row(key, stages) for key, stages in stage_rows(parts, encoding_of)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def stage_rows(
    parts: pd.DataFrame, encoding_of: Mapping[str, str]
) -> list[tuple[RowKey, dict[str, pd.DataFrame]]]:
    """The rows of `parts` by stage, for every data set, family, codec spec and device.

    Encoding is that of the codec spec's encoding. Order and errors are those of `timing_table`.
    """
    timed = _checked(parts)
    encoded, decoded = timed[timed["stage"] == "encode"], timed[timed["stage"] == "decode"]
    groups: dict[RowKey, dict[str, pd.DataFrame]] = {}
    strings: dict[tuple[str, str, str], set[str]] = {}
    for key, part in _groups(decoded):
        dataset, family, codec, _ = key
        if codec not in encoding_of:
            raise MeasurementError(f"{codec} was decoded, but its encoding is not known")
        groups.setdefault(key, {})["decode"] = part
        strings.setdefault((dataset, family, encoding_of[codec]), set()).add(codec)
    for (dataset, family, encoding, device), part in _groups(encoded):
        for codec in strings.get((dataset, family, encoding), {encoding}):
            groups.setdefault((dataset, family, codec, device), {})["encode"] = part
    return [(key, groups[key]) for key in sorted(groups, key=_order)]


def _checked(parts: pd.DataFrame) -> pd.DataFrame:
    if missing := [name for name in REQUIRED if name not in parts.columns]:
        raise MeasurementError(f"timing parts lack the columns {', '.join(missing)}")
    if wrong := sorted(set(parts["stage"]) - {"encode", "decode"}):
        raise MeasurementError(f"stage is encode or decode, not {wrong[0]}")
    keys = ["stage", "dataset", "family", "codec", "device", "image"]
    frame = parts[parts["seconds"].notna()]
    twice = frame.duplicated(keys)
    if twice.any():
        raise MeasurementError(f"timed twice: {', '.join(frame.loc[twice, keys].iloc[0])}")
    return frame


def _groups(frame: pd.DataFrame) -> list[tuple[RowKey, pd.DataFrame]]:
    names = ["dataset", "family", "codec", "device"]
    groups = frame.groupby(names, sort=True, observed=True)
    return [((str(a), str(b), str(c), str(d)), part) for (a, b, c, d), part in groups]


def _order(key: RowKey) -> tuple[str, str, NaturalKey, str]:
    dataset, family, codec, device = key
    return dataset, family, natural_key(codec), device


def _row(key: RowKey, stages: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    dataset, family, codec, device = key
    both = pd.concat(list(stages.values())).drop_duplicates("image")
    row: dict[str, Any] = {
        "dataset": dataset,
        "family": family,
        "codec": codec,
        "device": device,
        "images": len(both),
        "megapixels": float(np.median(numbers(both["pixels"]))) / 1e6,
    }
    for stage, part in stages.items():
        low, middle, high = np.percentile(numbers(part["seconds"]), [25, 50, 75])
        row[f"{stage}_s"] = float(middle)
        row[f"{stage}_s_spread"] = float(high - low)
        row[f"{stage}_start_s"] = float(np.median(numbers(part["start_s"])))
    return row
