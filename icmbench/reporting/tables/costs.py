"""The table of costs: speed, memory, energy and operations of every codec spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from icmbench.reporting.statistics.comparison import numbers
from icmbench.reporting.tables.timing import stage_rows

COLUMNS: Final = (
    "dataset", "family", "codec", "device", "images",
    "encode_mp_s", "encode_mp_s_spread", "decode_mp_s", "decode_mp_s_spread",
    "encode_mb", "decode_mb", "encode_gpu_mb", "decode_gpu_mb",
    "encode_j_mp", "decode_j_mp", "energy",
    "encode_kmac_px", "decode_kmac_px", "encode_parameters", "decode_parameters",
)  # fmt: skip
_TYPES: Final = dict.fromkeys(("encode_parameters", "decode_parameters"), "Int64")


def costs_table(parts: pd.DataFrame, encoding_of: Mapping[str, str]) -> pd.DataFrame:
    """One row per data set, family, codec spec and device, as in `timing_table`; `COLUMNS`.

    `_mp_s`: median of the megapixels per second of the images, and their interquartile range.
    `_mb`: largest peak memory of the processes that coded the entry's images, all points, in 10^6
    bytes, or of a program that they ran; `_gpu_mb`: of their allocations on the GPU. `_j_mp`:
    median joules per megapixel, by the counters in `energy`. `_kmac_px`: 10^3 multiply-adds per
    pixel; `_parameters`: numbers in the networks that take part. What is not known is empty. Raises
    `MeasurementError` as `timing_table` does.
    """
    keys = ["stage", "dataset", "family", "device"]
    peaks = parts.groupby(keys)[["peak_mb", "gpu_mb"]].max().T.to_dict("list")
    rows = []
    for (dataset, family, codec, device), stages in stage_rows(parts, encoding_of):
        images = pd.concat(list(stages.values()))["image"].nunique()
        row: dict[str, Any] = {"dataset": dataset, "family": family, "codec": codec}
        row |= {"device": device, "images": images}
        names = {name for part in stages.values() for name in part["energy"] if name}
        row["energy"] = "+".join(sorted(names))
        for stage, part in stages.items():
            row |= {f"{stage}_{name}": value for name, value in _stage(part).items()}
            row[f"{stage}_mb"], row[f"{stage}_gpu_mb"] = peaks[stage, dataset, family, device]
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(_TYPES)


def _stage(part: pd.DataFrame) -> dict[str, Any]:
    megapixels = numbers(part["pixels"]) / 1e6
    with np.errstate(divide="ignore"):  # a clock that did not advance
        low, middle, high = np.percentile(megapixels / numbers(part["seconds"]), [25, 50, 75])
    parameters = part["parameters"].max()
    return {
        "mp_s": float(middle),
        "mp_s_spread": float(high - low),
        "j_mp": float(np.median(numbers(part["joules"]) / megapixels)),
        "kmac_px": float(part["kmac_per_pixel"].max()),
        "parameters": None if np.isnan(parameters) else int(parameters),
    }
