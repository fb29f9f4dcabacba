"""Number of jobs of a run of COCO's size, and seconds and memory of planning it.

    python tools/scale.py                       5,000 images, 15 codecs x 8 points, 25 shards
    python tools/scale.py --images 50000        the number of jobs stays

The images are names in an annotation file: planning reads no pixel.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from icmbench.core.processes import start_python

ROOT = Path(__file__).resolve().parent.parent
QUALITIES = [5, 15, 25, 35, 50, 65, 80, 90]
# One grid of eight points per kind of codec; entries are added with other settings up to fifteen.
GRIDS = {
    "jpeg": {"quality": QUALITIES},
    "webp": {"quality": QUALITIES},
    "avif": {"quality": QUALITIES},
    "heic": {"quality": QUALITIES},
    "jpeg2000": {"ratio": [10, 20, 40, 80, 120, 200, 300, 500]},
    "jxl": {"distance": [0.7, 1, 2, 4, 6, 10, 15, 25]},
    "mpd": {"state": [7, 6, 5, 4, 3, 2, 1, 0]},
    "diff-icmh": {"rate": [1, 2, 3, 4], "steps": [8, 20]},
}


def configuration(folder: Path, images: int, codecs: int, shards: int) -> dict[str, object]:
    """The configuration, and the annotation file that it names."""
    names = [f"{number:012d}.jpg" for number in range(images)]
    records = [
        {"id": number, "file_name": name, "width": 640, "height": 480}
        for number, name in enumerate(names)
    ]
    thing = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81}
    thing |= {"iscrowd": 0, "segmentation": [[0, 0, 9, 0, 9, 9]]}
    truth = {"images": records, "annotations": [thing], "categories": [{"id": 1, "name": "person"}]}
    (folder / "instances.json").write_text(json.dumps(truth), encoding="utf-8")
    (folder / "images").mkdir()
    for name in names:
        (folder / "images" / name).touch()
    entries = {}
    for number in range(codecs):
        kind = list(GRIDS)[number % len(GRIDS)]
        name = kind if number < len(GRIDS) else f"{kind}-half"
        other = {"decoder": ["mean"]} if kind == "mpd" else {"scale": [0.5]}
        changed = {} if name == kind else other
        entries[name] = {"codec": kind, "points": [GRIDS[kind] | changed]}
    return {
        "results": str(folder / "results"),
        "shards": shards,
        "device": "cuda",
        "datasets": {
            "coco": {
                "type": "coco",
                "path": str(folder / "images"),
                "annotations": str(folder / "instances.json"),
            }
        },
        "codecs": entries,
        "anchors": ["jpeg"],
        "robustness": {"trials": 0},
        "tasks": {
            "detection": {
                "type": "mmdet",
                "datasets": ["coco"],
                "config": "rtmdet_tiny_8xb32-300e_coco",
                "checkpoint": "random",
            }
        },
    }


def main() -> None:
    """Plan the run and print jobs by rule, seconds and memory."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--codecs", type=int, default=15, choices=range(2, 16), metavar="2..15")
    parser.add_argument("--shards", type=int, default=25)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = configuration(folder, given.images, given.codecs, given.shards)
        (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        command = ["-m", "snakemake", "--cores", "1", "-n", "--quiet", "rules"]
        start = time.perf_counter()
        command += ["--configfile", str(folder / "config.yaml")]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
        with start_python(*command, cwd=ROOT, **pipes) as process:
            text = process.communicate()[0]
        seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(text[-3000:])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    megabytes, processor = used.ru_maxrss / 1024, used.ru_utime + used.ru_stime
    counts = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", text, re.M)}
    for rule, count in sorted(counts.items(), key=lambda item: -item[1]):
        print(f"{rule:24} {count:6d}")
    print(f"planned in {seconds:.1f} s ({processor:.1f} of a processor) with {megabytes:.0f} MB")


if __name__ == "__main__":
    main()
