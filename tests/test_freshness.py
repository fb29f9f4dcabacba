"""A finished run after an edit: Snakemake plans what depends on it and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT
from running import succeed

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

COPIED = ("icmbench", "rules", "workflow_scripts", "schemas", "envs", "profiles")


class Copy:
    """A finished run and the code that it was made with, both copies that may be edited."""

    def __init__(self, folder: Path, run: Path, config: dict) -> None:
        self.code, self.run, self.site = folder / "code", folder / "run", folder / "site"
        for name in COPIED:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, self.code / name, ignore=ignored)
        shutil.copy(ROOT / "Snakefile", self.code)
        shutil.copytree(run, self.run, symlinks=True)
        self.site.mkdir()
        (self.run / "config.yaml").write_text(yaml.safe_dump(config))
        # The same files, made by the copied code.
        self.snakemake("--touch")

    def snakemake(self, *arguments: str) -> str:
        """Output of Snakemake with the copied code."""
        command = [
            sys.executable, "-m", "snakemake", "--snakefile", str(self.code / "Snakefile"),
            "--configfile", str(self.run / "config.yaml"), "--directory", str(self.run),
            "--cores", "2", *arguments,
        ]  # fmt: skip
        path = os.pathsep.join((str(self.code), str(self.site)))
        env = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=600, env=env,
            cwd=self.run,
        )  # fmt: skip
        return succeed(done)

    def plan(self) -> set[str]:
        """The jobs that would run, and those of a codec with its name: `encode webp`."""
        text = self.snakemake("--dry-run")
        jobs = re.findall(r"^(?:local)?rule (\w+):\n((?: +.*\n)*)", text, re.M)
        return {
            f"{rule} {codec[1]}" if (codec := re.search(r"\bcodec=([\w-]+)", body)) else rule
            for rule, body in jobs
        } - {"all"}

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.code / file
        text = path.read_text(encoding="utf-8")
        edited = re.sub(old, new, text, count=1)
        assert edited != text
        path.write_text(edited, encoding="utf-8")


@pytest.fixture(scope="module")
def copy(every_rule: dict, first_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("freshness"), first_run, every_rule)


LAST = {"check_results", "jobs_table", "report"}
# All that is made of the measurements, or of what a task model gave, of every codec.
FROM_ALL = LAST | {
    "equal_quality", "paired_table", "provenance", "published_tables", "rate_figures", "rd_tables",
    "robustness_table", "task_figures", "task_scores", "tasks_tables", "timing_table",
    "visual_comparison",
}  # fmt: skip
WEBP = {f"{rule} webp" for rule in ("encode", "decode", "measure", "predict", "robustness")}


def test_edits_of_a_finished_run(copy: Copy) -> None:
    """Nothing; a comment; one format; another version of a package; then a table, run again."""
    assert copy.plan() == set()
    for file in (
        "icmbench/codecs/conventional/webp.py",
        "icmbench/codecs/mpd/palette/hierarchy.py",
        "workflow_scripts/encode.py",
    ):
        copy.edit(file, r"\Z", "\n# A comment.\n")
        copy.edit(file, '"""', '"""Another docstring. ')
    assert copy.plan() == set()

    copy.edit("icmbench/codecs/conventional/webp.py", r"\Z", "\nEDITED = 1\n")
    assert copy.plan() == WEBP | FROM_ALL
    copy.edit("icmbench/codecs/conventional/webp.py", "\nEDITED = 1\n", "")
    assert copy.plan() == set()

    metadata = copy.site / "bjontegaard-99.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: bjontegaard\nVersion: 99\n")
    assert copy.plan() == FROM_ALL - {
        "equal_quality", "provenance", "robustness_table", "timing_table", "visual_comparison"
    }  # fmt: skip
    shutil.rmtree(metadata.parent)

    tables = copy.run / "results" / "tables"
    before = {name: (tables / f"{name}.csv").read_bytes() for name in ("rd", "tasks", "bd_rate")}
    copy.edit("workflow_scripts/timing_table.py", r"\Z", "\nEDITED = 1\n")
    assert copy.plan() == {"timing_table", "rate_figures"} | LAST
    copy.snakemake()
    assert copy.plan() == set()
    assert {name: (tables / f"{name}.csv").read_bytes() for name in before} == before
    made = pd.read_csv(tables / "revisions.csv", dtype="str").groupby("rule")["revision"].agg(set)
    assert made["timing_table"] == made["rate_figures"]
    assert not made["timing_table"] & (made["rd_tables"] | made["encode"])
    page = (copy.run / "results" / "report.html").read_text(encoding="utf-8")
    assert "Revisions of the code" in page
