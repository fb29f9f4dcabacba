"""Memory of the training data against the number of files, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, make_picture

from icmbench.codecs.diff_icmh.training.latents import augmented_latents
from icmbench.codecs.mpd.training.features import training_latents
from icmbench.core.images.image_files import pixel_sha256, write_png
from icmbench.datasets.records import read_records, write_records
from icmbench.training.data import TrainingData
from icmbench.training.loop import Session
from icmbench.training.records import TrainingRecord

FILES = 1200
MEGABYTES = 0.786  # of a decoded image of the memory tests

# A process of its own prints its growth in MB while it reads the list, and while it draws.
DRAWING = r"""
import json, re, sys, time
from pathlib import Path
import numpy as np
from icmbench.training.data import read_provided

def peak():
    # Not getrusage: its peak counts the process that started this one.
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1e3

home, cache, draws = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
start, first = time.monotonic(), peak()
data = read_provided([home / "records.csv"], [home / "images"], smallest=64, cache_mb=cache)
seconds, listed = time.monotonic() - start, peak()
rng = np.random.default_rng(1)
for _ in range(draws):
    data.crops(rng, 1, 64)
print(json.dumps({
    "images": len(data.images), "seconds": seconds, "list": listed - first,
    "drawing": peak() - listed, "kept": data.images.kept_bytes / 1e6,
}))
"""


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc"
)


def growth(home: Path, cache_mb: float, draws: int) -> dict[str, float]:
    command = [sys.executable, "-c", DRAWING, str(home), str(cache_mb), str(draws)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def listed(home: Path, records: list[TrainingRecord]) -> Path:
    write_records(home / "records.csv", records, TrainingRecord)
    return home


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many files, of which three are different: more images than a cache of 20 MB has room for."""
    home = tmp_path_factory.mktemp("crowd")
    images = [make_picture(512, 512, seed) for seed in range(3)]
    for seed, image in enumerate(images):
        write_png(home / f"{seed}.png", image, compress_level=1)
    digests, records = [pixel_sha256(image) for image in images], []
    (home / "images").mkdir()
    for number in range(FILES):
        os.link(home / f"{number % 3}.png", home / "images" / f"{number:05}.png")
        record = TrainingRecord(f"{number:05}", f"{number:05}.png", width=512, height=512)
        records.append(vars(record) | {"pixels": digests[number % 3]})
    return listed(home, [TrainingRecord(**values) for values in records])


@needs_proc
def test_memory_does_not_grow_with_the_number_of_files(crowd: Path, tmp_path: Path) -> None:
    """150 draws of 1,200 files: the cache and no more. With room for all, they fill 100 MB."""
    few = [r for r in read_records(crowd / "records.csv", TrainingRecord) if r.image < "00060"]
    (tmp_path / "images").symlink_to(crowd / "images")
    small = growth(listed(tmp_path, few), 20, 150)
    large = growth(crowd, 20, 150)
    boundless = growth(crowd, 10_000, 150)
    assert (small["images"], large["images"]) == (60, FILES)
    assert max(small["kept"], large["kept"]) <= 20
    assert large["drawing"] < 20 + 40
    assert large["drawing"] < small["drawing"] + 15
    assert boundless["kept"] > 120 * MEGABYTES
    assert boundless["drawing"] > 80


@needs_proc
def test_a_list_of_120000_files_is_made_quickly(tmp_path: Path) -> None:
    """No file is there: none is looked at. List and paths fill less than a tenth of 4 GB."""
    rows = (
        TrainingRecord(
            image=f"train2017+{n:012}.jpg", path=f"/data/coco/train2017/{n:012}.jpg",
            sha256="0" * 64, width=640, height=480, split="train", pixels=f"{n:064x}",
            source=f"/data/coco/train2017/{n:012}.jpg", licence="CC-BY-2.0",
        )
        for n in range(120_000)
    )  # fmt: skip
    start = time.monotonic()
    listed(tmp_path, list(rows))
    assert time.monotonic() - start < 60
    found = growth(tmp_path, 1000, 0)
    assert found["images"] == 120_000
    assert found["seconds"] < 60
    assert found["list"] < 400


@pytest.mark.parametrize(
    "compute", [training_latents, lambda *a: augmented_latents(*a[:2], 8, a[2])]
)
def test_latents_of_all_images_do_not_stay_in_memory(tmp_path: Path, compute: Any) -> None:
    """At least 100 latents of half a megabyte: together 52 MB, in memory at no time."""
    latent = np.arange(256 * 256 * 4, dtype=np.int16).reshape(256, 256, 4)
    network = SimpleNamespace()
    network.to = lambda *_, **__: network
    model = SimpleNamespace(network=network, latent=lambda image: latent + image[0, 0, 0])
    images = tuple(np.full((64, 64, 3), number, np.uint8) for number in range(100))
    data, session = TrainingData(images, "digest", ()), Session(tmp_path / "c.pt", tmp_path / "l")
    tracemalloc.start()
    try:
        found = compute(model, data, session)
        values = [np.asarray(getattr(each, "latent", each))[0, 0, 0] for each in found]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5e6
    assert sorted(set(values)) == list(range(100))
