"""`snakemake --profile slurm` in the background, on a Slurm of one node that tests start."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from faulty import Faulty, wait_until
from running import hear_interrupts

IMPATIENT = ROOT / "tests" / "cluster" / "impatient.py"  # snakemake
PATIENCE = 900  # seconds: other tests may have the processors
# What a test changes in the profile: where to look for jobs, and patience that fits small jobs.
SETTINGS = {
    "slurm-status-command": "squeue",
    "slurm-init-seconds-before-status-checks": 1,
    "latency-wait": 5,
    "slurm-partition-config": ROOT / "slurm" / "partitions.yaml",  # a path from where one starts
}


def free_ports() -> int:
    """The first of two free ports."""
    for port in range(17817, 18817, 2):
        with socket.socket() as one, socket.socket() as two:
            try:
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise OSError("no two free ports")


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Environment in which Slurm's commands speak to a cluster that ends with the block.

    The test is skipped where ICMBENCH_TEST_SLURM is not set or a program is missing.
    """
    if not os.environ.get("ICMBENCH_TEST_SLURM"):
        pytest.skip("ICMBENCH_TEST_SLURM is not set: nothing is run on a cluster")
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [
        name for name in ("munged", "slurmctld", "slurmd") if not shutil.which(name, path=path)
    ]
    if missing:
        pytest.skip(f"no {missing[0]} (packages slurm-wlm and munge): nothing is run on a cluster")
    script = str(ROOT / "tests" / "cluster" / "slurm.sh")
    env = {**os.environ, "SLURM_TEST_PORT": str(free_ports())}
    try:
        subprocess.run([script, "start", str(folder)], check=True, env=env, timeout=180)
        yield {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{folder}/bin:{path}"}
    finally:
        subprocess.run([script, "stop", str(folder)], check=True, timeout=180)


class Head:
    """A `snakemake --profile slurm` in the background, started in the repository's root."""

    def __init__(self, folder: Path, config: dict, env: dict[str, str], *arguments: str) -> None:
        folder.mkdir(exist_ok=True)
        number = len(list(folder.glob("head*.log")))
        self.log = folder / f"head{number}.log"
        self.env = {**os.environ, "OMP_NUM_THREADS": "1", **env}
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        command = [sys.executable, str(IMPATIENT), "--profile", "slurm"]
        for key, value in {**SETTINGS, "slurm-logdir": folder / "slurm"}.items():
            command += [f"--{key}", str(value)]
        self.command = [*command, "--configfile", str(path), "--directory", str(folder), *arguments]
        with open(self.log, "w", encoding="utf-8") as handle:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.env, stdout=handle, stderr=subprocess.STDOUT,
                preexec_fn=hear_interrupts,
            )  # fmt: skip

    def text(self) -> str:
        return self.log.read_text()

    def kill(self) -> None:
        """`kill -9`, where it still runs."""
        self.process.kill()
        self.process.wait()

    def wait(self, seconds: float) -> str:
        """Wait for the end, which is a good one; the log."""
        code = self.process.wait(timeout=seconds)
        assert code == 0, self.text()[-6000:]
        return self.text()

    def wait_for(self, faulty: Faulty, stage: str) -> None:
        """Wait until a job of the stage hangs, as it was told to."""

        def over_or_held() -> bool:
            assert self.process.poll() is None, self.text()[-6000:]
            return faulty.held(stage)

        wait_until(over_or_held, PATIENCE, self.text)

    @property
    def run_id(self) -> str:
        found = re.search(r"SLURM run ID: (\S+)", self.text())
        assert found, self.text()[-4000:]
        return found[1]

    def submitted(self) -> list[tuple[str, str]]:
        """Rule (or rules of a group) and Slurm's number of every job that was submitted."""
        found = re.findall(r"SLURM jobid (\d+) \(log: \S+/(?:rule|group)_([^/]+)/", self.text())
        return [(rule, number) for number, rule in found]

    def jobs(self) -> dict[str, dict[str, str]]:
        """State and memory of every job of this run, over or not, by Slurm's number."""
        command = ["squeue", "--states", "all", "--noheader", "--format", "%i|%T|%m|%P"]
        text = self.slurm(*command, "--name", self.run_id)
        rows = [line.split("|") for line in text.splitlines()]
        return {
            row[0]: dict(zip(("state", "memory", "partition"), row[1:], strict=True))
            for row in rows
        }

    def alive(self) -> list[str]:
        """States of the jobs of this run that are not over."""
        states = [job["state"] for job in self.jobs().values()]
        return [state for state in states if state in ("PENDING", "RUNNING", "COMPLETING")]

    def slurm(self, *command: str) -> str:
        """Output of a command that succeeds, run as the head is."""
        done = subprocess.run(
            command, cwd=ROOT, env=self.env, capture_output=True, text=True, check=True
        )
        return done.stdout
