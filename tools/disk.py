"""Peak disk space of temporary reconstructions, with and without the bound of `disk_mb`.

    python tools/disk.py                  a run of COCO's size, its schedule simulated
    python tools/disk.py --real           a small run, watched: the folder's size every 50 ms

The simulation plays Snakemake's scheduler: of the jobs that are ready, those of the highest
priority start first, as long as slots and disk_mb last. Durations are drawn for every job.
"""

from __future__ import annotations

import argparse
import heapq
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from icmbench.core.processes import start_python

ROOT = Path(__file__).resolve().parent.parent
LIMIT_MB = yaml.safe_load((ROOT / "profiles/default/profile.yaml").read_text("utf-8"))["resources"][
    "disk_mb"
]
DECODE, LOOK = 0, 1  # later stages have the higher priority


@dataclass(frozen=True)
class Plan:
    """A run, as far as disk space is concerned.

    Attributes:
        archives: data set x codec x shard.
        booked: megabytes that a job books for an archive.
        slots: jobs at the same time.
        looks: jobs that read an archive (measuring, predicting); it goes when all are done.
        limit: megabytes that may be booked at the same time.
    """

    archives: int
    booked: float
    slots: int
    looks: int
    limit: float


def peak(plan: Plan, seed: int) -> tuple[float, float]:
    """Largest size of all archives that exist, in megabytes, and the run's length in minutes."""
    rng = np.random.default_rng(seed)
    waiting = [(-DECODE, archive) for archive in range(plan.archives)]
    left = np.full(plan.archives, plan.looks)
    running: list[tuple[float, int, int]] = []
    now = booked = held = most = 0.0
    while waiting or running:
        waiting.sort()
        started = []
        for job in waiting:
            if len(running) >= plan.slots or booked + plan.booked > plan.limit:
                break
            started.append(job)
            booked += plan.booked
            if job[0] == -DECODE:  # it grows while it is written: counted whole from the start
                held += plan.booked
                most = max(most, held)
            minutes = rng.gamma(4.0, 5.0 if job[0] == -DECODE else 2.0)
            heapq.heappush(running, (now + minutes, -job[0], job[1]))
        waiting = waiting[len(started) :]
        now, stage, archive = heapq.heappop(running)
        booked -= plan.booked
        if stage == DECODE:
            waiting += [(-LOOK, archive)] * plan.looks
        else:
            left[archive] -= 1
            held -= plan.booked * (left[archive] == 0)
    return most, now


def simulate() -> None:
    """COCO val2017, 15 codecs x 8 points, 25 shards: 240 GB of images in all."""
    booked = 1.8 * 0.3 * 200 * 8  # as the rules book: 200 images of COCO, 0.3 MP on average
    print(f"{'jobs at once':>12} {'disk_mb':>9} {'peak GB':>8} {'hours':>6}")
    for slots in (2, 16, 100):
        for limit in (LIMIT_MB, float("inf")):
            plan = Plan(15 * 25, booked, slots, looks=2, limit=limit)
            runs = [peak(plan, seed) for seed in range(5)]
            most, minutes = max(run[0] for run in runs), max(run[1] for run in runs)
            print(f"{slots:12d} {limit:9.0f} {most / 1000:8.1f} {minutes / 60:6.1f}")


def watch(limit: int) -> None:
    """A small run under a small bound; what its images took, and what was booked for one."""
    points = {"quality": [10, 30, 50, 70]}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = {
            "shards": 4,
            "datasets": {"scenes": {"size": 256, "test": 32}},
            "codecs": {kind: {"points": [points]} for kind in ("jpeg", "webp", "avif")},
            "metrics": ["psnr_rgb"],
            "anchors": ["jpeg"],
            "robustness": {"trials": 0},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        command = ["-m", "snakemake", "results/tables/rd.csv", "--quiet", "all"]
        command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", name]
        command += ["--configfile", str(folder / "config.yaml")]
        command += ["--cores", "4", "--resources", f"disk_mb={limit}"]
        run = start_python(*command)
        most = archives = 0
        while run.poll() is None:
            sizes = [size(path) for path in (folder / "results/reconstructions").rglob("*")]
            most, archives = max(most, sum(sizes)), max(archives, sum(1 for s in sizes if s))
            time.sleep(0.05)
    if run.returncode:
        sys.exit(run.returncode)
    booked = round(3.1 * 256**2 / 1e6 * 8 * 4)
    print(
        f"bound {limit} MB, booked per job about {booked} MB, three jobs read or write each archive"
    )
    print(f"at most {archives} archives and {most / 1e6:.1f} MB at the same time, of 12 archives")


def size(path: Path) -> int:
    """Bytes of a file; 0 where it is a folder or has just gone."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0


def main() -> None:
    """Simulate, or watch a small run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--real", action="store_true", help="a small run instead")
    parser.add_argument("--limit", type=int, default=12, help="disk_mb of the small run")
    given = parser.parse_args()
    if given.real:
        watch(given.limit)
    else:
        simulate()


if __name__ == "__main__":
    main()
