"""Tables as the report shows them: units in headers, sensible digits, intervals in the cells."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import pandas as pd

from icmbench.reporting.figures.axes import MINUS
from icmbench.reporting.figures.bd_heatmap import percent
from icmbench.reporting.figures.style import MetricInfo
from icmbench.reporting.tables.csv_files import format_value

MAX_ROWS = 1000

# Title and unit of a column; of others the title is the name, without a unit.
_HEADERS: dict[str, tuple[str, str]] = {
    "dataset": ("Data set", ""),
    "codec": ("Codec string", ""),
    "failed": ("Failed", "images"),
    "bpp": ("Rate", "bpp ↓"),
    "patches": ("Patches", ""),
    "fid": ("FID", "↓"),
    "kid": ("KID", "↓"),
    "kid_std": ("KID deviation", "of subsets"),
    "fid_seeds": ("FID deviation", "of seeds"),
    "kid_seeds": ("KID deviation", "of seeds"),
    "left_out": ("Left out", "images"),
    "better": ("Better", "share of images ↑"),
    "bd_rate": ("BD-rate", "% ↓"),
    "overlap": ("Overlap", "%"),
    "quality_low": ("From", "common range"),
    "quality_high": ("To", "common range"),
    "ratio": ("Ratio", "bytes ÷ anchor's ↓"),
    "anchor_bpp": ("Anchor's rate", "bpp"),
    "encode_s": ("Encode", "s / image ↓"),
    "decode_s": ("Decode", "s / image ↓"),
    "encode_s_spread": ("Encode IQR", "s"),
    "decode_s_spread": ("Decode IQR", "s"),
    "encode_start_s": ("Encoder start", "s"),
    "decode_start_s": ("Decoder start", "s"),
    "megapixels": ("Image size", "MP"),
    "seconds": ("Time", "s"),
    "encode_mp_s": ("Encode", "MP/s ↑"),
    "decode_mp_s": ("Decode", "MP/s ↑"),
    "encode_mp_s_spread": ("Encode IQR", "MP/s"),
    "decode_mp_s_spread": ("Decode IQR", "MP/s"),
    "encode_mb": ("Encoder memory", "MB ↓"),
    "decode_mb": ("Decoder memory", "MB ↓"),
    "encode_gpu_mb": ("Encoder GPU memory", "MB ↓"),
    "decode_gpu_mb": ("Decoder GPU memory", "MB ↓"),
    "encode_j_mp": ("Encode", "J/MP ↓"),
    "decode_j_mp": ("Decode", "J/MP ↓"),
    "encode_kmac_px": ("Encode", "kMAC/pixel ↓"),
    "decode_kmac_px": ("Decode", "kMAC/pixel ↓"),
    "encode_parameters": ("Encoder", "parameters"),
    "decode_parameters": ("Decoder", "parameters"),
    "max_mb": ("Peak memory", "MB"),
    "detail": ("What went wrong", ""),
    "encodings": ("Streams", ""),
    "example": ("On the first image", ""),
    "reason": ("Why it was refused", ""),
    "refused": ("Refused", "↑"),
    "decoded_wrong": ("Decoded wrong", "↓"),
    "crashed": ("Crashed", "↓"),
    "hung": ("Hung", "↓"),
    "identical": ("Identical", "streams"),
    "within_1": ("Within 1", "streams"),
    "different": ("Different", "streams"),
    "missing": ("Missing", "streams"),
    "max_difference": ("Largest difference", "code values"),
    "psnr_undamaged": ("PSNR undamaged", "dB, median"),
    "psnr_median": ("PSNR damaged", "dB, median ↑"),
    "kind": ("Descriptors", ""),
    "level": ("Tap", ""),
    "used": ("In use", ""),
    "distortion": ("Distortion", "share ↓"),
    "kept": ("Kept", "share"),
    "stability": ("Stability", "ARI ↑"),
    "same_class": ("Same class", "share ↑"),
    "gain": ("Gain", "share ↑"),
    "chance": ("Chance", "share"),
    "state": ("State", "t"),
    "entries": ("Entries", "mean"),
    "bytes": ("Bytes", "mean ↓"),
    "latent_mse": ("Latent MSE", "σ² ↓"),
    "shape": ("Shape", "bits"),
    "offsets": ("Offsets", "bits"),
    "map": ("Map", "bits"),
    "frame": ("Frame", "bits"),
    "rounding": ("Rounding", "bits"),
    "width": ("Width", "px"),
    "height": ("Height", "px"),
}
# What a row is about comes before what was measured, whatever the order in the file.
_FIRST = {"dataset": 0, "family": 1, "codec": 2}
# Three digits say all that a clock can; four decimals keep 0.0123 bpp apart from 0.0126.
_SECONDS = {"encode_s", "decode_s", "encode_s_spread", "decode_s_spread", "encode_start_s",
            "decode_start_s", "seconds", "encode_mp_s", "decode_mp_s", "encode_mp_s_spread",
            "decode_mp_s_spread", "encode_j_mp", "decode_j_mp"}  # fmt: skip
_LO_HI = {"bd_rate", "difference", "ratio"}  # of which `lo` and `hi` are the interval
_HIDDEN = {"specs", "anchor_specs"}  # long lists: in the CSV alone
# Shown where some row has a value.
_IF_KNOWN = {"energy"} | {
    f"{stage}_{name}"
    for stage in ("encode", "decode")
    for name in ("gpu_mb", "j_mp", "kmac_px", "parameters")
}
_DECIMALS = {"bpp": 4, "megapixels": 3, "max_mb": 0, "ratio": 3, "encode_mb": 0, "decode_mb": 0}


@dataclass(frozen=True)
class Column:
    """A header: name in the CSV, title, unit with the arrow of better, whether numbers."""

    name: str
    title: str
    unit: str
    numeric: bool


@dataclass(frozen=True)
class Cell:
    """Cell of a table: displayed text, sort key ("" when empty), confidence interval."""

    text: str
    sort: str
    interval: str = ""

    @property
    def plain(self) -> bool:
        """True where the cell sorts by its text."""
        try:
            return not self.interval and float(self.text) == float(self.sort)
        except ValueError:
            return self.text == self.sort


@dataclass(frozen=True)
class TableView:
    """A table ready for the template. `csv` has all rows and full digits."""

    name: str
    title: str
    note: str
    columns: list[Column]
    rows: list[list[Cell]]
    total: int
    csv: str
    choices: dict[str, list[str]]


def data_uri(content: bytes, kind: str) -> str:
    """Content as a `data:` address of a media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def csv_text(frame: pd.DataFrame) -> str:
    """A table as CSV, digits as in the files under `results/tables`; text quoted where needed."""

    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n\r') else text

    lines = [",".join(quoted(str(name)) for name in frame.columns)]
    columns = [[quoted(format_value(v)) for v in frame[name]] for name in frame.columns]
    lines += [",".join(row) for row in zip(*columns, strict=True)]
    return "\n".join(lines) + "\n"


def decimals(values: Sequence[float]) -> int:
    """Decimals for a column: four for values up to 1, else four digits (38.52, 1204)."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    return 4 if largest <= 1 else max(3 - math.floor(math.log10(largest)), 0)


def _number(value: float, name: str, digits: int) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if name == "bd_rate":
        return percent(value).removesuffix(" %")
    if name == "overlap":
        return f"{100 * value:.0f}"
    if name in _SECONDS:
        if value < 5e-7:
            return "0"
        whole = f"{value:#.3g}".rstrip(".")
        return f"{value:.0f}" if "e+" in whole else f"{value:.6f}" if "e-" in whole else whole
    return f"{value:.{digits}f}".replace("-", MINUS)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(float(value))


def _column(frame: pd.DataFrame, name: str, metrics: dict[str, MetricInfo]) -> Column:
    title, unit = _HEADERS.get(name, (name.replace("_", " ").capitalize(), ""))
    if name in metrics:
        info = metrics[name]
        title, unit = info.title, f"{info.unit} {'↑' if info.higher_is_better else '↓'}".strip()
    numeric = bool(pd.api.types.is_numeric_dtype(frame[name])) and not bool(
        pd.api.types.is_bool_dtype(frame[name])
    )
    return Column(name, title, unit, numeric)


def _interval_names(name: str, columns: Sequence[str]) -> tuple[str, str] | None:
    pair = ("lo", "hi") if name in _LO_HI else (f"{name}_lo", f"{name}_hi")
    return pair if all(end in columns for end in pair) else None


def _text(value: object, name: str, known: dict[str, MetricInfo]) -> str:
    """A cell of text; in a column of metric names, the metric's title."""
    text = format_value(value)
    return known[text].title if name == "metric" and text in known else text


def _cells(frame: pd.DataFrame, column: Column, metrics: dict[str, MetricInfo]) -> list[Cell]:
    values = list(frame[column.name])
    if not column.numeric:
        texts = [_text(value, column.name, metrics) for value in values]
        return [Cell(text, text) for text in texts]
    known = [float(value) for value in values if _is_number(value)]
    whole = all(value == int(value) for value in known if math.isfinite(value))
    digits = 0 if whole and column.name not in _DECIMALS else decimals(known)
    digits = _DECIMALS.get(column.name, digits)
    pair = _interval_names(column.name, list(frame.columns))
    lows, highs = (frame[end] if pair else [math.nan] * len(frame) for end in pair or ("", ""))
    cells = []
    for value, low, high in zip(values, lows, highs, strict=True):
        if not _is_number(value):
            cells.append(Cell("", ""))
            continue
        interval = ""
        if all(_is_number(end) and math.isfinite(end) for end in (low, high)):
            interval = " … ".join(_number(float(end), column.name, digits) for end in (low, high))
        cells.append(Cell(_number(float(value), column.name, digits), repr(float(value)), interval))
    return cells


def table_view(
    frame: pd.DataFrame,
    name: str,
    title: str,
    note: str = "",
    metrics: Sequence[MetricInfo] = (),
    filters: Sequence[str] = (),
) -> TableView:
    """Prepare a table for the page.

    `<name>_lo` and `<name>_hi` (and `lo`, `hi` of `_LO_HI`) become the interval in the cell of
    their value. At most `MAX_ROWS` rows are shown; the CSV has all of them. `filters` are columns
    that get a drop-down, where the table has more than one value of them.
    """
    known = {metric.name: metric for metric in metrics}
    names = sorted((str(n) for n in frame.columns), key=lambda n: _FIRST.get(n, 3))
    folded = {end for n in names if (pair := _interval_names(n, names)) for end in pair}
    unknown = {n for n in _IF_KNOWN & {*names} if not (frame[n].notna() & (frame[n] != "")).any()}
    columns = [_column(frame, n, known) for n in names if n not in folded | _HIDDEN | unknown]
    shown = frame.head(MAX_ROWS)
    by_column = [_cells(shown, column, known) for column in columns]
    choices = {n: sorted({_text(v, n, known) for v in shown[n]}) for n in filters if n in names}
    return TableView(
        name=name,
        title=title,
        note=note,
        columns=columns,
        rows=[list(row) for row in zip(*by_column, strict=True)],
        total=len(frame),
        csv=csv_text(frame),
        choices={n: values for n, values in choices.items() if len(values) > 1},
    )
