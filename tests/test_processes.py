"""How processes of this package end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import make_picture
from running import snakemake, succeed

from icmbench.core.images.image_files import write_png

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
    "library": "import icmbench.cli.main, icmbench.core.joblog, icmbench.evaluation.worker\nwork()",
    "job": "from icmbench.core.joblog import log_to\nwith log_to('{log}'): work()",
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


# Read by every Python at its start: says, after all that is done at exit, what is left alone.
SPY = """
import atexit, gc, os, sys
def tell():
    with open(os.environ["SPY"], "a") as handle:
        print(gc.get_freeze_count() > 1000, " ".join(sys.orig_argv), file=handle)
atexit.register(tell)
"""


@pytest.mark.slow
@pytest.mark.workflow
def test_every_process_of_a_run(tmp_path: Path) -> None:
    """Snakemake, which starts twice for each job on a cluster, and scripts; workers are killed."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SPY)
    write_png(tmp_path / "pictures" / "i.png", make_picture(40, 48))
    config = {
        "datasets": {"mine": {"type": "folder", "path": str(tmp_path / "pictures")}},
        "codecs": {"jpeg": {"points": [{"quality": 10}]}},
    }
    env = {"PYTHONPATH": str(site), "SPY": str(tmp_path / "ends")}
    succeed(snakemake(tmp_path, config, "results/streams/mine/jpeg/0.zip", env=env))
    ends = (tmp_path / "ends").read_text().splitlines()
    for part in ("-m snakemake", "dataset_shard.py", "encode.py"):
        assert [line.split()[0] for line in ends if part in line] == ["True"], part
