"""Write README.md's section Results from reference/default: `python tools/readme_results.py`.

The rows are states of `mpd`, and of AVIF and Diff-ICMH the points of the nearest rates; the
sentences are the BD-rates of the same run. `--check` writes nothing and exits with 1 where the
section is not current.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from icmbench.core.files import write_text
from icmbench.core.typed_csv import read_table
from icmbench.metrics import METRICS

ROOT: Final = Path(__file__).resolve().parent.parent
README: Final = ROOT / "README.md"
SECTION: Final = re.compile(r"(?<=^## Results\n\n).*?(?=^## )", re.MULTILINE | re.DOTALL)
DATASET: Final = "photos"
STATES: Final = (4, 0, -2)  # of MPD; beside each the nearest AVIF
COLUMNS: Final = ("psnr_rgb", "ms_ssim", "ssimulacra2")
COMPARED: Final = ("psnr_rgb", "ms_ssim", "gmsd")  # BD-rates in the sentence
WIDTH: Final = 128
MINUS: Final = "\u2212"
SPACE: Final = "\u00a0"  # no line ends there
TOP: Final = """
Bits per pixel and quality of the bundled models, eleven photographs of the default run, states of
MPD and the nearest others; all points, tasks, data sets and intervals:
[docs/results.md](docs/results.md), written from [`reference/`](reference).
"""
HEAD: Final = "the file's head"  # in a note of rd.csv
HEADED: Final = "†: a tenth or more are the 275 bytes of AVIF's head."
COMPARED_TEXT: Final = """
Bits of MPD against AVIF at equal quality (BD-rate, 95 % interval; negative is better):
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Write the section, or check that it is current."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 where it differs"
    )
    check = parser.parse_args(argv).check
    text = README.read_text(encoding="utf-8")
    folder = ROOT / "reference" / "default"
    new = section(read_table(folder / "rd.csv"), read_table(folder / "bd_rate.csv"))
    written = SECTION.sub(lambda _: new, text, count=1)
    if check:
        print(f"README.md is {'current' if written == text else 'not current: run make docs'}")
        return int(written != text)
    write_text(README, written)
    return 0


def section(rates: pd.DataFrame, bd_rates: pd.DataFrame) -> str:
    """The text below the heading, up to the next one."""
    points = rates[(rates["dataset"] == DATASET) & rates["bpp"].notna()]
    heads = ["codec spec", "bpp", *(_title(name) for name in COLUMNS)]
    lines = [" | ".join(heads), "|".join(["---", *["---:"] * (len(heads) - 1)])]
    lines += [" | ".join(_cells(row)) for row in chosen(points)]
    table = "\n".join(f"| {line} |" if "---" not in line else f"|{line}|" for line in lines)
    here = bd_rates[(bd_rates["dataset"] == DATASET) & (bd_rates["anchor"] == "avif")]
    sentences = [compared(here[here["family"] == "mpd"])]
    if "†" in table:
        sentences.insert(0, HEADED)
    parts = [_wrapped(TOP), table, _wrapped(" ".join(sentences))]
    return "\n\n".join(parts) + "\n\n"


def chosen(points: pd.DataFrame) -> list[Mapping[Any, Any]]:
    """Rows of the table in the order of their rates."""
    rows: dict[str, Mapping[Any, Any]] = {}
    for state in STATES:
        spec = f"mpd:state={state}" if state else "mpd"
        rows |= _nearest(points[points["codec"] == spec], 0.0)
        goal = float(rows[spec]["bpp"])
        families = ("avif",) if state else ("avif", "diff-icmh")
        for family in families:
            rows |= _nearest(points[points["family"] == family], goal)
    return sorted(rows.values(), key=lambda row: float(row["bpp"]))


def _nearest(points: pd.DataFrame, bpp: float) -> dict[str, Mapping[Any, Any]]:
    """The point of the nearest rate, by its codec spec."""
    if points.empty:
        raise SystemExit("readme_results.py: reference/default/rd.csv lacks a codec of the table")
    row = points.iloc[int((points["bpp"] - bpp).abs().argmin())].to_dict()
    return {str(row["codec"]): row}


def compared(table: pd.DataFrame) -> str:
    """One sentence with the BD-rates against AVIF and their intervals."""
    parts = []
    for name in COMPARED:
        row = table[table["metric"] == name].iloc[0]
        value = "n/a" if pd.isna(row["bd_rate"]) else _interval(row)
        parts.append(f"{value} in {METRICS[name].title}")
    return f"{COMPARED_TEXT} {', '.join(parts)}."


def _interval(row: pd.Series[Any]) -> str:
    lo, value, hi = (100 * float(row[name]) for name in ("lo", "bd_rate", "hi"))
    return f"{value:+.0f}{SPACE}% [{lo:+.0f}, {hi:+.0f}]".replace("-", MINUS)


def _title(name: str) -> str:
    metric = METRICS[name]
    return f"{metric.title} (dB)".replace(" (RGB)", "") if metric.unit == "dB" else metric.title


def _cells(row: Mapping[Any, Any]) -> list[str]:
    digits = {"psnr_rgb": 2, "ms_ssim": 3, "ssimulacra2": 1}
    values = [f"{row[name]:.{digits[name]}f}".replace("-", MINUS) for name in COLUMNS]
    mark = " †" if HEAD in str(row.get("note", "")) else ""
    return [f"`{row['codec']}`{mark}", f"{row['bpp']:.4f}", *values]


def _wrapped(text: str) -> str:
    return textwrap.fill(
        " ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False
    )


if __name__ == "__main__":
    sys.exit(main())
