"""Write docs/results.md from the tables of reference/: `python tools/results_page.py [--check]`.

Every number comes from the committed files; only the sentences around the tables are typed by hand.
`--check` writes nothing and exits with 1 where the page is not current.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd
import yaml

from icmbench.core.files import write_text
from icmbench.core.typed_csv import read_table
from icmbench.metrics import METRICS

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "results.md"
SHOWN: Final = ("avif", "webp", "mpd", "mpd-features", "diff-icmh")  # codec entries with all points
QUALITY: Final = ("psnr_rgb", "ssim", "ms_ssim", "gmsd", "ssimulacra2")
TASKS: Final = ("box_map", "miou", "nme", "cer", "read", "top1_agreement")  # one metric per task
HEAD: Final = "the file's head"  # in a note of rd.csv
HEADED: Final = "†: a tenth or more of the bytes are the file's head, once a file of any size."
TOP: Final = """# Results

Written by `make docs` from the tables in [`reference/`](../reference), each made by one command
(`python tools/reference.py --list`). All points, metrics and 95 % intervals stand in the linked
files. bpp: bits of the decoded file per original pixel. Arrows: direction of better. Rows are
sorted by rate.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, or check that it is current."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 where it differs"
    )
    text = page(ROOT / "reference")
    if parser.parse_args(argv).check:
        current = PAGE.read_text(encoding="utf-8") == text
        print(f"{PAGE.name} is {'current' if current else 'not current: run make docs'}")
        return int(not current)
    write_text(PAGE, text)
    return 0


def page(reference: Path) -> str:
    """The page as Markdown text."""
    folders = yaml.safe_load((reference / "folders.yaml").read_text(encoding="utf-8"))
    names = [name for name in folders if (reference / name / "rd.csv").is_file()]
    return "\n".join([TOP, *(_folder(reference / name, folders[name]) for name in names)])


def _folder(folder: Path, entry: Mapping[str, Any]) -> str:
    rates = read_table(folder / "rd.csv")
    lines = [
        f"## `reference/{folder.name}`\n",
        f"{_origin(folder)} {entry.get('note', '')}".strip() + "\n",
    ]
    for dataset in sorted(rates["dataset"].unique()):
        lines += [f"### Quality against rate: {dataset}\n", _rates(rates, dataset, folder.name)]
    if (folder / "bd_rate.csv").is_file():
        lines += [_bd_rates(read_table(folder / "bd_rate.csv"), folder.name)]
    if (folder / "tasks.csv").is_file():
        lines += [_tasks(read_table(folder / "tasks.csv"), folder.name)]
    if (folder / "task_rates.csv").is_file():
        lines += [_needed(read_table(folder / "task_rates.csv"), folder.name)]
    return "\n".join(lines)


def _origin(folder: Path) -> str:
    files = [name for name in ("config.yaml", "provenance.json") if (folder / name).is_file()]
    links = ", ".join(f"[`{name}`](../reference/{folder.name}/{name})" for name in files)
    return f"Made by {links}." if links else "Made by [`config.yaml`](../config.yaml)."


def _rates(rates: pd.DataFrame, dataset: str, folder: str) -> str:
    """All points of the shown entries, and how many of the others are in the file."""
    here = rates[rates["dataset"] == dataset].sort_values("bpp", kind="stable")
    columns = [name for name in QUALITY if name in here]
    shown = here[here["family"].isin(SHOWN)]
    rows = [[*_point(row), *(_value(row, name) for name in columns)] for _, row in shown.iterrows()]
    left = sorted({*here["family"]} - {*SHOWN})
    images = sorted({int(count) for count in here["images"]})
    note = f"{' or '.join(map(str, images))} images. Also in the file: {', '.join(left)}."
    if any(_has_head(row) for _, row in shown.iterrows()):
        note += f" {HEADED}"
    heads = ["codec spec", "entry", "bpp", *map(_head, columns)]
    return f"{_table(heads, rows, 2)}\n{note} [All points](../reference/{folder}/rd.csv)\n"


def _bd_rates(table: pd.DataFrame, folder: str) -> str:
    """BD-rate of every entry against the first anchor, by metric."""
    parts = []
    for (dataset, anchor), here in table.groupby(["dataset", "anchor"], sort=True):
        columns = [name for name in QUALITY if name in set(here["metric"])]
        rows = []
        for family in sorted(here["family"].unique()):
            values = here[here["family"] == family].set_index("metric")
            rows.append([family, *(_percent(values, name) for name in columns)])
        heads = ["entry", *(METRICS[name].title for name in columns)]
        title = f"### BD-rate against {anchor}: {dataset}\n"
        parts.append(f"{title}\n{_table(heads, rows, 1)}")
    link = f"[With intervals and overlaps](../reference/{folder}/bd_rate.csv)"
    text = (
        "Change of rate at equal quality; negative is better; n/a: the curves overlap too little."
    )
    return "\n".join([*parts, f"{text} {link}\n"])


def _tasks(table: pd.DataFrame, folder: str) -> str:
    """Accuracy of every task at the points of the shown entries."""
    parts = []
    for (dataset, task, model), here in table.groupby(["dataset", "task", "model"], sort=True):
        metric = next((name for name in TASKS if name in set(here["metric"])), None)
        if metric is None:
            continue
        points = here[(here["metric"] == metric) & here["family"].isin(SHOWN)]
        points = points.sort_values("bpp", kind="stable")
        rows = [
            [*_point(row), f"{row['value']:.3f}",
             f"{row['lo']:.3f} to {row['hi']:.3f}"]
            for _, row in points.iterrows()
        ]  # fmt: skip
        ceiling = f"{points['ceiling'].iloc[0]:.3f}" if len(points) else "n/a"
        title = f"### {task}: {dataset}, {model}\n"
        heads = ["codec spec", "entry", "bpp", metric, "95 % interval"]
        parts.append(f"{title}\nOn the originals: {metric} {ceiling}.\n\n{_table(heads, rows, 2)}")
    return "\n".join([*parts, f"[All metrics](../reference/{folder}/tasks.csv)\n"])


def _needed(table: pd.DataFrame, folder: str) -> str:
    """Rates at which tasks reach a share of their ceiling, by codec entry."""
    table = table[table["metric"].isin(TASKS)]
    families = sorted(table["family"].unique())
    rows = []
    for (data, task, metric, share), here in table.groupby(
        ["dataset", "task", "metric", "share"], sort=False
    ):
        rates = here.set_index("family")["bpp"]
        cells = [f"{rates[f]:.3f}" if rates.get(f, 0) > 0 else "n/a" for f in families]
        rows.append([f"{task} on {data}, {metric}", f"{100 * share:g} %", *cells])
    text = (
        "Bits per pixel, read from the curves; n/a: not coded, not reached, or reached at the "
        f"lowest rate already: [reasons and intervals](../reference/{folder}/task_rates.csv)\n"
    )
    title = "### Bits that tasks need for a share of their ceiling\n"
    return f"{title}\n{_table(['task', 'share', *families], rows, 2)}\n{text}"


def _point(row: pd.Series[Any]) -> list[str]:
    mark = " †" if _has_head(row) else ""
    return [f"`{row['codec']}`{mark}", str(row["family"]), f"{row['bpp']:.4f}"]


def _has_head(row: pd.Series[Any]) -> bool:
    """True for a row with the note on the head of its files."""
    return HEAD in str(row.get("note", ""))


def _head(name: str) -> str:
    metric = METRICS[name]
    return f"{metric.title} {'↑' if metric.higher_is_better else '↓'}"


def _value(row: pd.Series[float], name: str) -> str:
    digits = 2 if METRICS[name].unit == "dB" else 1 if name == "ssimulacra2" else 3
    return "n/a" if pd.isna(row[name]) else f"{row[name]:.{digits}f}"


def _percent(values: pd.DataFrame, name: str) -> str:
    value = values["bd_rate"].get(name)
    return "n/a" if value is None or pd.isna(value) else f"{100 * value:+.0f} %"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    """A Markdown table; the first `texts` columns are left-aligned."""
    marks = ["---"] * texts + ["---:"] * (len(heads) - texts)
    lines = [heads, marks, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
