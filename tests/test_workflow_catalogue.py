"""The files by which Snakemake's catalogue of workflows takes a repository for standardised."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from icmbench.core.files import write_text
from icmbench.reporting.artefacts import Artefact, Made
from icmbench.reporting.captions import report_words, write_captions
from icmbench.reporting.catalogue import CATALOGUE

MAIN = ROOT / "workflow" / "Snakefile"


def test_the_settings_of_the_catalogue() -> None:
    """Keys as its documentation lists them (about/adding_workflows.md)."""
    settings = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text("utf-8"))
    assert set(settings) == {"usage"}
    usage = settings["usage"]
    assert set(usage) <= {"mandatory-flags", "software-stack-deployment", "report"}
    methods = usage["software-stack-deployment"]
    assert set(methods) <= {"conda", "apptainer", "apptainer+conda"}
    assert all(isinstance(value, bool) for value in (*methods.values(), usage["report"]))
    assert any(methods.values())
    readme = (ROOT / "README.md").read_text("utf-8").lower()
    assert "snakemake" in readme
    assert "workflow" in readme
    assert 'include: "../Snakefile"\n' in MAIN.read_text("utf-8")


def test_the_keys_of_the_guide_are_keys() -> None:
    guide = (ROOT / "config" / "README.md").read_text("utf-8")
    named = [key for row in re.findall(r"^\| (`.*?) \|", guide, re.M) for key in row.split(", ")]
    known = yaml.safe_load((ROOT / "schemas" / "config.schema.json").read_text("utf-8"))
    assert len(named) > 10
    assert {key.strip("`") for key in named} <= set(known["properties"])
    assert set(known["required"]) <= {key.strip("`") for key in named[:2]}
    for link in re.findall(r"\]\((.*?)\)", guide):
        assert (ROOT / "config" / link).exists(), link


@pytest.mark.workflow
def test_the_default_run_is_planned_from_either_snakefile(tmp_path: Path) -> None:
    started = {
        path: subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--snakefile", str(path), "--cores", "1",
             "--dry-run", "--quiet", "rules", "--directory", str(tmp_path / str(number))],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path,
        )
        for number, path in enumerate((MAIN, ROOT / "Snakefile"))
    }  # fmt: skip
    counts = []
    for path, process in started.items():
        text, _ = process.communicate(timeout=300)
        assert process.returncode == 0, text
        assert f"workflow specific profile {path.parent}/profiles/default" in text
        counts.append(dict(re.findall(r"^(\w+) +(\d+)$", text, re.M)))
    assert counts[0].pop("everything") == counts[1].pop("all") == "1"
    assert {"encode", "decode", "measure", "report", "total"} <= counts[0].keys()
    assert counts[0] == counts[1]


@pytest.mark.workflow
def test_the_catalogue_finds_no_fault_in_its_snakefile(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(MAIN), "--lint"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_captions_are_the_words_of_the_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_captions(CATALOGUE)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.rst")}
    assert len(written) == sum(bool(entry.caption) for entry in CATALOGUE)
    entry = Artefact(
        "a_{dataset}", "figure", "draw", "Of {dataset}", "One *, a `b` and z_t.", "Curves"
    )
    words = report_words(Made(entry, {"dataset": "{x}"}))
    assert words["category"] == "Curves"
    assert words["labels"] == {"figure": "Of (x)"}  # Snakemake would look for a wildcard x
    write_captions([*CATALOGUE, entry])
    text = Path(str(words["caption"])).read_text("utf-8")
    assert text == "One \\*, a \\`b\\` and z\\_t.\n"
    stale = next(iter(written))
    write_text(stale, "old")
    write_captions(CATALOGUE)
    assert stale.read_text("utf-8") != "old"
    assert {p: p.stat().st_mtime_ns for p in written if p != stale} == {
        path: time for path, time in written.items() if path != stale
    }
    assert report_words(Made(Artefact("a", "table", "r", "A")))["caption"] is None
