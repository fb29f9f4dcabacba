"""The workflow through the command that a user types, in a folder of its own."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]


def command(folder: Path, config: dict, *arguments: str, long: bool = False) -> list[str]:
    """`snakemake` on a configuration, which is written into the folder that it works in.

    Args:
        long: of minutes. A short run has Snakemake's own timespan, as its exit waits for one.
    """
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    more = "" if long else "--max-jobs-per-timespan 100/1s"
    return [
        *SNAKEMAKE, "--configfile", str(path), "--directory", str(folder), *more.split(), *arguments
    ]  # fmt: skip


def snakemake(
    folder: Path,
    config: dict,
    *arguments: str,
    env: dict[str, str] | None = None,
    long: bool = False,
) -> subprocess.CompletedProcess[str]:
    """`snakemake --cores 2` on a configuration, in a folder of its own."""
    return subprocess.run(
        command(folder, config, "--cores", "2", *arguments, long=long),
        capture_output=True,
        text=True,
        timeout=2400,
        check=False,
        env={**os.environ, **(env or {})},
    )


def hear_interrupts() -> None:
    """In a new process: Ctrl-C means what it means in a terminal, also where tests run with `&`."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def succeed(done: subprocess.CompletedProcess[str]) -> str:
    text = done.stdout + done.stderr
    assert done.returncode == 0, text[-4000:]
    return text


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that is filled once in a session, by whichever of its processes asks first."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / f"shared-{name}"
    with open(base / f"shared-{name}.lock", "a+", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.seek(0)
        before = handle.read()
        if not before:
            folder.mkdir()
            handle.write("failed")  # unless it turns out otherwise: nobody tries again
            handle.flush()
            make(folder)
            handle.truncate(0)
            handle.write("made")
        assert before != "failed", f"another process has tried to make {folder}: see its failure"
    return folder
