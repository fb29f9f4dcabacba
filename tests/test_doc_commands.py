"""The `snakemake` commands of the documents, planned as they stand, from the repository's root."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from icmbench.core.images.image_files import write_png

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```.*?^```", re.M | re.S)
LINE = re.compile(r"^(?:\$ )?(snakemake -[^#\n]*)", re.M)
INLINE = re.compile(r"`(snakemake -[^`]*)`")
# Commands of the documents that no dry run can show, by a part of them -> the reason.
ELSEWHERE = {
    "--unlock": "removes a lock, plans nothing",
    "--touch": "changes the times of files",
    "rules/packed.smk": "needs unpacked streams: test_elsewhere plans it",
    "configs/paper-": "needs fetched sources: test_paper_mpd and _diff_icmh plan it on stubs",
    "configs/mini": "needs folders of photographs: test_mini plans and runs it on pictures",
    "my-codec/config.yaml": "needs a share: test_share reads one",
    "--sdm conda": "needs conda: test_environments checks the files",
}


def commands() -> list[str]:
    """Every `snakemake` command of the documents, once, without its comment."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        found += [command for block in FENCED.findall(text) for command in LINE.findall(block)]
        found += INLINE.findall(FENCED.sub("", text))
    return sorted({" ".join(command.split()) for command in found})


def planned() -> list[str]:
    return [c for c in commands() if not any(part in c for part in ELSEWHERE)]


def test_commands_are_found() -> None:
    """The README's own are among them, and every reason to leave one out applies to one."""
    found = commands()
    assert {"snakemake --cores all", "snakemake --profile slurm"} <= set(found)
    assert "snakemake --cores all figure_mpd_2" in found
    assert len(planned()) >= 15
    assert all(any(part in command for command in found) for part in ELSEWHERE)


@pytest.mark.slow
@pytest.mark.workflow
@pytest.mark.parametrize("command", planned())
def test_a_command_is_planned_as_it_stands(command: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    write_png(tmp_path / "images" / "a.png", np.zeros((64, 96, 3), np.uint8))
    words = shlex.split(command.replace("/my/images", str(tmp_path / "images")))
    extra = ["--dry-run", "--nolock", "--quiet", "rules", "--config", f"results={tmp_path}/r"]
    if "--config" in words:  # one option takes all
        extra = extra[:-2]
        words.insert(words.index("--config") + 1, f"results={tmp_path}/r")
    executed = [sys.executable, "-m", *words, *extra]
    done = subprocess.run(
        executed, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text[-2000:]
