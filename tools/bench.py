"""`make bench`: speed of the codecs, the metrics and the scene renderer.

One thread, one process, after a warm-up; the median and the interquartile range of `--repeat` runs.
A metric is that of one more reconstruction of an original, as in a run. Prints a Markdown table
and writes results/bench.csv.
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
from icmbench.core.devices import keep_freed_memory
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


def tasks(image: np.ndarray) -> Iterator[tuple[str, str, int, Callable[[], object]]]:
    """List the measurements: stage, codec spec or metric, pixels, task."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    pixels, reconstruction = image.shape[0] * image.shape[1], image
    for name, entry in config["codecs"].items():
        points = expand_points(entry.get("codec", name), entry["points"])
        point = points[len(points) // 3]
        codec, encode, decode = point.codec(), dict(point.encode), dict(point.decode)
        stream = codec.truncate(codec.encode(image, **encode), **dict(point.cut))
        if name == "jpeg":
            reconstruction = codec.decode(stream, **decode)
        yield "encode", point.spec, pixels, lambda c=codec, k=encode: c.encode(image, **k)
        yield "decode", point.spec, pixels, lambda c=codec, s=stream, k=decode: c.decode(s, **k)
    for metric in available()[0]:
        meter = Meter([metric])
        yield "metric", METRICS[metric].title, pixels, lambda m=meter: m(image, reconstruction)
    yield "render", "scene 256x256", 256**2, lambda: render_scene(1, "test", 0, 256, 256)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=9, help="runs per task (default: 9)")
    repeat = parser.parse_args().repeat
    keep_freed_memory()
    image = np.asarray(PHOTOS["motorcycle"].load())
    rows = []
    for stage, name, pixels, task in tqdm(list(tasks(image)), unit="task", disable=None):
        median, spread = seconds(task, repeat)
        rows.append((stage, name, median, spread, pixels / median / 1e6))
    frame = pd.DataFrame(rows, columns=["stage", "with", "seconds", "spread", "mp_per_s"])
    write_csv(frame, ROOT / "results" / "bench.csv")
    height, width = image.shape[:2]
    print(f"photograph of {width}x{height} pixels, one thread, median of {repeat} runs\n")
    print("| stage | with | ms | spread | MP/s |\n|---|---|---:|---:|---:|")
    for stage, name, median, spread, speed in rows:
        print(f"| {stage} | {name} | {1000 * median:.1f} | {1000 * spread:.1f} | {speed:.2f} |")


if __name__ == "__main__":
    main()
