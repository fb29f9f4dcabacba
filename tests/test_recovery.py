"""What a workstation's run survives: an interruption, a killed Snakemake, a full disk."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_picture
from faulty import Faulty, wait_until
from running import command, hear_interrupts, snakemake, succeed

from icmbench.core.images.image_files import write_png

pytestmark = [pytest.mark.workflow, pytest.mark.slow]
TARGET = "results/tables/rd.csv"
PATIENCE = 900  # seconds: other tests may have the processors


class Background:
    """A Snakemake in the background, in a session of its own."""

    def __init__(self, folder: Path, faulty: Faulty) -> None:
        self.log = folder / "head.log"
        with open(self.log, "w", encoding="utf-8") as handle:
            self.process = subprocess.Popen(
                command(folder, faulty.config, "--cores", "1", TARGET),
                stdout=handle, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, **faulty.env}, preexec_fn=hear_interrupts,
            )  # fmt: skip

    def text(self) -> str:
        return self.log.read_text()

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends it to Snakemake and to its jobs."""
        os.killpg(self.process.pid, signal.SIGINT)
        assert self.process.wait(timeout=PATIENCE) != 0

    def __enter__(self) -> Background:
        return self

    def __exit__(self, *error: object) -> None:
        """Snakemake alone is killed, then what it leaves behind: its jobs run on."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def rules(text: str) -> list[str]:
    """Rules of the jobs that Snakemake has started, in their order.

    Without the manifest: whether its job or the first that encodes comes first is the scheduler's.
    """
    started = re.findall(r"^(?:local)?rule (\w+):$", text, re.M)
    return [rule for rule in started if rule != "manifest"]


def test_interrupted_then_killed_then_done(tmp_path: Path) -> None:
    """Ctrl-C, then `kill -9`, which leaves a lock: then the same command does what is missing."""
    faulty = Faulty(tmp_path / "faulty")
    faulty.hold("encode")
    with Background(tmp_path, faulty) as first:
        wait_until(lambda: faulty.held("encode"), PATIENCE, first.text)
        first.interrupt()
    assert rules(first.text()) == ["dataset_shard", "encode"]
    assert not list((tmp_path / "results" / "streams").rglob("*.*"))

    faulty.hold("encode")
    with Background(tmp_path, faulty) as second:
        wait_until(lambda: faulty.held("encode"), PATIENCE, second.text)
    assert rules(second.text()) == ["encode"]
    # As if the job had written straight to its outputs, and not come to the end.
    shard = tmp_path / "results" / "streams" / "mine" / "faulty"
    shard.mkdir(parents=True, exist_ok=True)
    (shard / "0.zip").write_bytes(b"PK and then nothing")
    (shard / "0.csv").write_text("encoding,image,status,detail,bytes\n")
    faulty.release("encode")

    refused = snakemake(tmp_path, faulty.config, TARGET, env=faulty.env)
    assert refused.returncode != 0
    assert "--unlock" in refused.stdout + refused.stderr
    succeed(snakemake(tmp_path, faulty.config, TARGET, "--unlock", env=faulty.env))
    text = succeed(snakemake(tmp_path, faulty.config, TARGET, env=faulty.env))
    assert sorted(rules(text)) == sorted(["encode", "decode", "measure", "rd_tables"])
    rd = pd.read_csv(tmp_path / TARGET)
    assert list(rd["images"]) == [2]
    assert np.isinf(rd["psnr_rgb"]).all()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder whose `results` is a file system of 400 KiB."""
    results = tmp_path / "results"
    results.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "icmbench-test", str(results)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(results)], check=True)


def test_a_full_disk_is_named_and_the_run_resumes(small_disk: Path) -> None:
    """Noise does not compress: the streams of the second codec do not fit."""
    pictures = small_disk / "pictures"
    for index in range(3):
        noise = np.random.default_rng(index).integers(0, 256, (200, PATIENCE, 3), np.uint8)
        write_png(pictures / f"noise{index}.png", noise)
    write_png(pictures / "calm.png", make_picture(40, 48))
    config = {
        "datasets": {"mine": {"type": "folder", "path": str(pictures)}},
        "codecs": {"jpeg": {"points": [{"quality": 1}]}, "identity": {"points": [{}]}},
        "metrics": ["psnr_rgb"],
    }
    done = snakemake(small_disk, config, TARGET)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert re.search(r"results/streams/mine/identity/0\.zip: No space left on device", text), text
    assert not (small_disk / "results" / "streams" / "mine" / "identity" / "0.zip").exists()
    assert not list((small_disk / "results").rglob("*.part*"))  # the half file is gone

    results = small_disk / "results"
    subprocess.run(["mount", "-o", "remount,size=50m", str(results)], check=True)
    again = succeed(snakemake(small_disk, config, TARGET))
    assert not set(rules(again)) & {"dataset_shard"}
    rd = pd.read_csv(small_disk / TARGET).set_index("codec")
    assert (rd["images"] == 4).all()
    assert np.isinf(rd.loc["identity", "psnr_rgb"])
