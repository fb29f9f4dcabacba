"""How processes of this package end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

# What is left when a process ends: a cycle, and work put off to its exit.
LEFT = """
import atexit
class Told:
    def __del__(self): print("finalised")
cycle = Told()
cycle.itself = cycle
atexit.register(print, "at exit")
def work():
    print("printed")
    single = Told()
"""
PROGRAMS = {
    "library": "import icmbench.cli.main, icmbench.joblog, icmbench.coding.worker\nwork()",
    "job": "from icmbench.joblog import log_to\nwith log_to('{log}'): work()",
    "command": "from icmbench.cli import main\nwork()\nmain(['codecs'])",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_only_programs_leave_memory_to_the_system(name: str, tmp_path: Path) -> None:
    """A process that uses the library ends as it would without it."""
    log = tmp_path / "log"
    program = LEFT + PROGRAMS[name].replace("{log}", str(log))
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    text = done.stdout + done.stderr + (log.read_text() if log.exists() else "")
    assert "printed" in text
    assert "at exit" in text
    assert text.count("finalised") == (2 if name == "library" else 1)


def test_snakemake_too(tmp_path: Path) -> None:
    """The Snakefile says so, before anything else: jobs on a cluster read no more of it."""
    lines = (ROOT / "Snakefile").read_text().splitlines()
    code = [line for line in lines if line and line[0] not in "# "]
    assert [line.split("(")[0] for line in code[2:4]] == ["min_version", "end_quickly"]
