"""CompressAI's JSON: `results/*.json`, and the output of its programs `bench` and `eval_model`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from icmbench.core.errors import MeasurementError
from icmbench.reporting.published.formats.common import Given
from icmbench.reporting.published.points import ESTIMATED, NOT_STATED, REAL, Point

TITLE = "CompressAI's JSON"
RATE: Final = "bpp"
# Its programs average PSNR in dB and MS-SSIM (pytorch-msssim) over images, as ours.
NAMES: Final = {
    "psnr-rgb": "psnr_rgb",
    "psnr": "psnr_rgb",  # its older files
    "ms-ssim-rgb": "ms_ssim",
    "ms-ssim": "ms_ssim",
}
DECIBELS: Final = {"ms-ssim-db-rgb": "ms_ssim", "ms-ssim-db": "ms_ssim"}
_NO_METRIC: Final = ("encoding_time", "decoding_time", RATE)


def recognises(text: str) -> bool:
    """True for a JSON object with `results`."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("results"), dict)


def read(text: str, given: Given) -> list[Point]:
    """Read a file: lists of rates and of every metric, an element per operating point."""
    if not recognises(text):
        raise MeasurementError(f"{given.file}: not {TITLE}: no object with `results`")
    content = json.loads(text)
    series = {name: _series(name, values, given) for name, values in content["results"].items()}
    if RATE not in series:
        raise MeasurementError(f"{given.file}: `results` has no {RATE}")
    meta = content.get("meta") or {}
    if not isinstance(meta, dict) or not isinstance(meta.get("dataset", ""), str):
        raise MeasurementError(f"{given.file}: `meta` is not an object with the name of a data set")
    codec = given.named("codec", _codec(content.get("name"), meta))
    dataset = given.named("dataset", meta.get("dataset"))
    bits = given.bits or _bits(str(content.get("description")), meta)
    points = []
    for name, values in series.items():
        if name in _NO_METRIC:
            continue
        if len(values) != len(series[RATE]):
            raise MeasurementError(
                f"{given.file}: {len(values)} values of {name} for {len(series[RATE])} rates"
            )
        how, metric = "results file", NAMES.get(name, name.replace("-", "_"))
        if name in DECIBELS:
            metric, how = DECIBELS[name], "results file, converted from dB"
            if min(values, default=0) < 0:
                raise MeasurementError(f"{given.file}: {name} {min(values):g} is below 0")
            values = [1 - 10 ** (-value / 10) for value in values]
        points += [
            Point(codec, dataset, bpp, metric, value, given.origin, how, bits)
            for bpp, value in zip(series[RATE], values, strict=True)
        ]
    return points


def _series(name: str, values: Any, given: Given) -> Sequence[float]:
    if _is_number(values):
        raise MeasurementError(
            f"{given.file}: `results` holds the values of a single image (--per-image); give the "
            "file of all images"
        )
    if not (isinstance(values, list) and all(map(_is_number, values))):
        raise MeasurementError(f"{given.file}: {name} is not a list of numbers")
    return [float(value) for value in values]


def _is_number(value: Any) -> bool:
    # An integer of JSON may be too long for a float; True is one of Python.
    return isinstance(value, float) or (type(value) is int and abs(value) < 2**53)


def _codec(name: Any, meta: Mapping[str, Any]) -> str | None:
    """The codec, with the target of its training where that is MS-SSIM."""
    if not isinstance(name, str):
        return None
    tuned = str(meta.get("opt_metric") or "").startswith("ms-ssim") or name.endswith("-ms-ssim")
    short = name.removesuffix("-ms-ssim").removesuffix("-mse")
    return f"{short} (ms-ssim)" if tuned else short


def _bits(description: str, meta: Mapping[str, Any]) -> str:
    if meta.get("source") == "paper" or "official results" in description:
        return NOT_STATED
    return ESTIMATED if "entropy" in description and "estimation" in description else REAL
