"""`make bench`: seconds of the conventional codecs, the metrics and the scene renderer.

One thread, one process, after a warm-up; the median and the interquartile range of `--repeat` runs.
Prints a Markdown table for the README and writes results/bench.csv.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from tqdm import tqdm

from icmbench.codecs.specs import expand_points
from icmbench.datasets.photos import PHOTOS
from icmbench.metrics import METRICS, available
from icmbench.metrics.meter import Meter
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.scenes import render_scene

ROOT = Path(__file__).resolve().parent.parent


def seconds(task: Callable[[], object], repeat: int) -> tuple[float, float]:
    """Median and interquartile range of the task's seconds."""
    task()
    taken = []
    for _ in range(repeat):
        start = time.perf_counter()
        task()
        taken.append(time.perf_counter() - start)
    low, middle, high = np.percentile(taken, [25, 50, 75])
    return float(middle), float(high - low)


def tasks(picture: np.ndarray) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """(what, with which, task) of everything that is measured."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    decoded = picture
    for family, entry in config["codecs"].items():
        points = expand_points(entry.get("codec", family), entry["points"])
        point = points[len(points) // 3]
        codec, keys = point.codec(), dict(point.encode)
        stream = codec.encode(picture, **keys)
        if family == "jpeg":
            decoded = codec.decode(stream)
        yield "encode", point.string, lambda c=codec, k=keys: c.encode(picture, **k)
        yield "decode", point.string, lambda c=codec, s=stream: c.decode(s)
    names, _ = available()
    for name in names:
        meter = Meter([name])
        yield "metric", METRICS[name].title, lambda m=meter: m(picture, decoded)
    yield "render", "scene 256x256", lambda: render_scene(1, "test", 0, 256, 256)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=9, help="runs per task (default: 9)")
    repeat = parser.parse_args().repeat
    picture = np.asarray(PHOTOS["motorcycle"].load())
    rows = []
    for what, which, task in tqdm(list(tasks(picture)), unit="task", disable=None):
        rows.append((what, which, *seconds(task, repeat)))
    frame = pd.DataFrame(rows, columns=["what", "which", "seconds", "spread"])
    write_csv(frame, ROOT / "results" / "bench.csv")
    height, width = picture.shape[:2]
    print(f"photograph of {width}x{height} pixels, one thread, median of {repeat} runs\n")
    print("| what | with | ms | spread |\n|---|---|---:|---:|")
    for what, which, middle, spread in rows:
        print(f"| {what} | {which} | {1000 * middle:.1f} | {1000 * spread:.1f} |")


if __name__ == "__main__":
    main()
