"""Write results/README.md and docs/rules.md from the catalogue of artefacts and the workflow.

make docs
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from icmbench.core.processes import start_python  # noqa: E402
from icmbench.reporting.artefacts import CONDITIONS, FORMATS, SHEETS, Artefact  # noqa: E402
from icmbench.reporting.catalogue import DATA, FIGURES, TABLES  # noqa: E402

RESULTS = """# Results

Written by a run. Nothing here is kept in the repository; `make clean` empties it. This list is made
by `make docs` from [`icmbench/reporting/catalogue.py`](../icmbench/reporting/catalogue.py). Begin
with `report.html`: it shows every table of the run, its provenance and its failures, charts and an
image viewer to explore, and the figures that neither replaces. It is one file and needs no network;
links to figures lead to the files below. `icmbench export codec-compare results -o DIR` writes the
measurements as JSON for [Codec-Compare](https://github.com/webmproject/codec-compare).

Beside these lie `logs/`, `benchmarks/` and `timing/` of every job, `training/*.csv` (losses of
every step), `training/conditions/*.json` (its hours, device and revision, for the model cards),
`training/checkpoints/` (the state of a training that was stopped), and
`verification/<name>.{csv,json}` (`icmbench verify`: streams that another machine decoded).
"""
RULES = """# Rules

The rules of the default run, made by `make docs`. An arrow goes to the rule that reads the files;
arrows that follow from others are left out. The files of every rule are listed in
[`results/README.md`](../results/README.md).
"""


def shown(path: str) -> str:
    """A path with its wildcards as a reader writes them."""
    return "`" + re.sub(r"\{(\w+)\}", r"<\1>", path) + "`"


def present(entry: Artefact) -> str:
    """The condition under which a run has an artefact."""
    if entry.in_run is None:
        return "on demand"
    names = [name for name in (entry.when, entry.in_run) if name]
    return "; ".join(CONDITIONS[name] for name in names)


def rows(entries: tuple[Artefact, ...], suffix: str = "") -> str:
    """A Markdown table of entries."""
    lines = ["| path | contents | rule | when |", "|---|---|---|---|"]
    for entry in entries:
        path = entry.path.rpartition(".")[0] + (suffix if entry.section != SHEETS else ".png")
        path = path if suffix else entry.path
        title = re.sub(r",? ?(against |at about )?\{\w+\}( bpp)?", "", entry.title)
        lines.append(
            f"| {shown(path)} | {title or entry.section} | `{entry.rule}` | {present(entry)} |"
        )
    return "\n".join(lines) + "\n"


def results_page() -> str:
    """The text of results/README.md."""
    suffix = ".{" + ",".join(FORMATS) + "}"
    parts = {"Tables": rows(tuple(TABLES)), "Figures": rows(tuple(FIGURES), suffix)}
    parts["Data"] = rows(tuple(DATA))
    return RESULTS + "".join(f"\n## {name}\n\n{text}" for name, text in parts.items())


def rule_graph(text: str) -> list[tuple[str, str]]:
    """Edges that `snakemake --rulegraph mermaid-js` prints, less those that follow from others."""
    names = dict(re.findall(r"^\s*(id\d+)\[(\w+)\]", text, re.M))
    after: dict[str, set[str]] = defaultdict(set)
    for start, end in re.findall(r"^\s*(id\d+) --> (id\d+)", text, re.M):
        after[names[start]].add(names[end])

    def reached(rule: str) -> set[str]:
        found: set[str] = set()
        todo = list(after[rule])
        while todo:
            if (name := todo.pop()) not in found:
                found.add(name)
                todo += after[name]
        return found

    edges = []
    for rule in sorted(names.values()):
        follow = {far for near in after[rule] for far in reached(near)}
        edges += [(rule, near) for near in sorted(after[rule] - follow)]
    return edges


def rules_page() -> str:
    """The text of docs/rules.md; starts Snakemake."""
    arguments = ["--snakefile", ROOT / "Snakefile", "--configfile", ROOT / "config.yaml"]
    arguments += ["--rulegraph", "mermaid-js", "--forceall", "--cores", "1"]
    command = ("-m", "snakemake", *arguments, "--workflow-profile", "none")
    with start_python(*command, stdout=subprocess.PIPE) as process:
        text = process.communicate()[0].decode("utf-8")
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    edges = [f"    {start} --> {end}" for start, end in rule_graph(text)]
    return "\n".join([RULES, "```mermaid", "flowchart TB", *edges, "```", ""])


def main() -> None:
    """Write both pages."""
    (ROOT / "results" / "README.md").write_text(results_page(), encoding="utf-8")
    (ROOT / "docs" / "rules.md").write_text(rules_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
