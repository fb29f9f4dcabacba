"""Progress of running jobs on the terminal of the run."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, make_picture

from icmbench.core import follow_logs as module
from icmbench.core.devices import UNUSED
from icmbench.core.follow_logs import Follower, follow, last_progress
from icmbench.core.images.image_files import write_png
from icmbench.core.jit_notice import ANNOUNCEMENT
from icmbench.core.progress import LINE

HEAD = "2026-11-29 05:00:00,123 INFO "


def line(done: int) -> str:
    text = LINE.format(
        desc="encode mpd", n_fmt=done, total_fmt=11, rate_fmt="1.2image/s", elapsed="00:30",
        remaining="05:13", postfix="",
    )  # fmt: skip
    return f"{HEAD}{text}\n"


def test_a_gpu_that_is_not_used_is_told_once(tmp_path: Path) -> None:
    """Whatever else a log holds by then, and however many jobs warn."""
    follower = Follower(tmp_path)
    warning = f"{UNUSED}, networks run on the CPU: NVIDIA driver 470 and torch 2.4"
    head = f"{HEAD}start on node\n2026-11-29 05:00:01,000 WARNING {warning}\n"
    progress = line(3).removeprefix(HEAD).strip()
    for name in ("a", "b"):
        (tmp_path / f"{name}.log").write_text(head + line(3))
    assert follower.news() == [warning, f"a: {progress}", f"b: {progress}"]
    (tmp_path / "c.log").write_text(head)
    assert follower.news() == []


def test_each_job_has_its_latest_line(tmp_path: Path) -> None:
    """Logs of earlier runs, half lines and other lines are none."""
    logs = tmp_path / "logs"
    (logs / "encode").mkdir(parents=True)
    old, new = logs / "encode" / "old.log", logs / "encode" / "photos.mpd.0.log"
    old.write_text(line(9))
    follower = Follower(logs)
    assert follower.news() == []
    new.write_text(f"{HEAD}start on node\n{HEAD}ratio: 3 of 4 failed\n")
    assert follower.news() == []
    new.write_text(
        new.read_text() + line(3) + line(4) + f"{HEAD}a warning: no matter\n" + line(5)[:-1]
    )
    expected = line(4).removeprefix(HEAD).strip()
    assert follower.news() == [f"encode/photos.mpd.0: {expected}"]
    assert follower.news() == []
    with open(new, "a", encoding="utf-8") as handle:
        handle.write("\n" + "x" * 40_000 + "\n")
    assert follower.news() == []  # the line is out of reach, and no other is shown
    new.write_text(line(4) + f"{ANNOUNCEMENT}\n")
    assert follower.news() == [f"encode/photos.mpd.0: {ANNOUNCEMENT}"]
    new.unlink()
    assert follower.news() == []
    assert last_progress(new) == ""
    for number in range(40):
        (logs / f"{number:02}.log").write_text(line(number))
    news = follower.news()
    assert len(news) == module.SHOWN + 1
    assert news[-1].startswith(f"and {40 - module.SHOWN} more jobs")


def test_a_thread_prints_the_news_once(tmp_path: Path) -> None:
    out = io.StringIO()
    before = threading.active_count()
    ended = follow(tmp_path, out, 0.02)
    assert follow(tmp_path, out, 0.02) is None
    assert threading.active_count() == before + 1
    (tmp_path / "a.log").write_text(line(1))
    end = time.monotonic() + 10
    while not out.getvalue() and time.monotonic() < end:
        time.sleep(0.02)
    assert out.getvalue() == f"icmbench: a: {line(1).removeprefix(HEAD)}"
    assert ended is not None
    ended.set()


@pytest.mark.slow
def test_a_run_shows_how_far_its_jobs_are(tmp_path: Path) -> None:
    """On the standard error of snakemake, from the main process alone."""
    for number in range(24):
        write_png(tmp_path / "images" / f"{number}.png", make_picture(200, 260, number))
    config = {
        "datasets": {"mine": {"type": "folder", "path": "images"}},
        "codecs": {"avif": {"points": [{"quality": [10, 30, 50, 70]}]}},
        "metrics": ["psnr_rgb"],
        "anchors": ["avif"],
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "1",
         "results/streams/mine/avif/0.zip", "--configfile", "c.yaml"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200,
        env={**os.environ, "ICMBENCH_PROGRESS_SECONDS": "0.1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [
        text for text in done.stderr.splitlines() if text.startswith("icmbench: encode/mine.avif")
    ]
    assert lines, done.stderr
    assert len(lines) == len(set(lines))
    assert all("encode avif: " in text and " of 24, " in text and " left" in text for text in lines)
