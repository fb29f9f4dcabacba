"""Share of the networks in the seconds of a prediction job, against loading, reading, writing.

    python tools/bench_tasks.py                 1,000 scenes x 6 points, about 15 minutes
    python tools/bench_tasks.py --images 100

The job is the workflow's own: reconstructions from a decoding job's archive, each read once, all
bundled task models, one thread. A network's time is that of its `forward` (for mmdet and mmseg
of `_infer`: normalising, network, and post-processing to boxes, masks and labels).
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from icmbench.codecs.registry import codec_class
from icmbench.core.images.image_files import read_image, write_png
from icmbench.datasets.manifest import provide_shard
from icmbench.datasets.registry import make_dataset
from icmbench.evaluation import archive
from icmbench.evaluation.shard import DECODED, write_rows
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.registry import make_task
from icmbench.tasks.run import predict_pictures

QUALITIES = (5, 10, 20, 40, 60, 80)
TASKS = {"detection": "mmdet", "segmentation": "mmseg", "landmarks": "face-alignment"}


class Watch:
    """Adds up the seconds that a function takes."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, owner: Any, name: str) -> None:
        """Replace a method of an object by itself, watched."""
        inner = getattr(owner, name)

        def watched(*values: Any, **keys: Any) -> Any:
            start = time.perf_counter()
            try:
                return inner(*values, **keys)
            finally:
                self.seconds += time.perf_counter() - start

        setattr(owner, name, watched)


@contextlib.contextmanager
def decoded(images: int) -> Iterator[tuple[Path, Path, Truth, Any]]:
    """A decoding job's archive and rows of JPEG images, and the truth of their scenes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = make_dataset("scenes", {"type": "scenes", "test": images}, folder)
        records = provide_shard(data, 0, 1, folder / "images")
        found = data.merge_annotations({r.image: folder / "images" for r in records})
        codec, rows = codec_class("jpeg")(), []
        with archive.create(folder / "0.zip") as out:
            for quality in QUALITIES:
                string = f"jpeg:quality={quality}"
                for record in records:
                    image, _ = read_image(folder / "images" / record.path)
                    write_png(folder / "p.png", codec.decode(codec.encode(image, quality=quality)))
                    member = archive.picture_member(string, record.image)
                    out.add(member, (folder / "p.png").read_bytes())
                    row = dict.fromkeys(DECODED, "") | {"codec": string, "image": record.image}
                    rows.append(row | {"status": "ok"})
        write_rows(folder / "0.csv", DECODED, rows)
        truth = Truth(found.instances, found.landmarks, tuple(found.classes), found.semantic)
        yield folder / "0.zip", folder / "0.csv", truth, folder


def main() -> None:
    """Run the job and print its shares."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=1000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with decoded(given.images) as (pictures, rows, truth, folder):
        start = time.perf_counter()
        tasks = [make_task(name, {"type": kind}) for name, kind in TASKS.items()]
        networks, whole = Watch(), Watch()
        for task in tasks:
            task.load(truth.labels("scenes"), "cpu")
            if task.name == "landmarks":
                networks.around(task._aligner.face_alignment_net, "forward")
            else:
                networks.around(task, "_infer")
            whole.around(task, "predict")
        loaded = time.perf_counter() - start
        predict_pictures([(task, None) for task in tasks], truth, pictures, rows, folder / "said")
        total = time.perf_counter() - start
    count = given.images * len(QUALITIES)
    print(f"{count} pictures in {total:.0f} s, loading {loaded:.1f} s of it")
    print(f"networks {networks.seconds / total:.1%}, with their pre- and postprocessing "
          f"{whole.seconds / total:.1%}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
