"""The jobs of tasks: what models see in the pictures of a shard, and in the originals."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from icmbench.coding import archive
from icmbench.coding.shard import DECODED, read_rows
from icmbench.datasets.base import Record
from icmbench.images import read_image
from icmbench.progress import progress
from icmbench.tasks import store
from icmbench.tasks.base import Image, Task
from icmbench.tasks.evaluate import Truth

ORIGINALS = "originals"  # stands where a codec's name does: what was never coded


def predict_pictures(
    tasks: Sequence[Task], truth: Truth, pictures: Path, decoded: Path, folder: Path
) -> None:
    """Predictions for every picture that a shard's decoding job wrote.

    Args:
        tasks: loaded.
        pictures, decoded: what `icmbench.coding.decode.decode_shard` wrote; failed rows have none.
        folder: gets an archive `<task>.zip` per task.
    """
    rows = [row for row in read_rows(decoded, DECODED) if row["status"] == "ok"]
    with archive.reader(pictures) as source, _writers(tasks, folder) as writers:
        for row in progress(rows, desc=f"looking at {folder.parent.name}", unit="pic"):
            member = archive.picture_member(row["codec"], row["image"])
            image = archive.read_picture(source, member)
            _look(writers, truth, row["codec"], row["image"], image)


def predict_originals(
    tasks: Sequence[Task], truth: Truth, records: Sequence[Record], images: Path, folder: Path
) -> None:
    """Predictions for the original images of a shard: what no codec can be better than, usually."""
    with _writers(tasks, folder) as writers:
        for record in progress(records, desc=f"looking at {ORIGINALS}", unit="pic"):
            image, _ = read_image(images / record.path)
            _look(writers, truth, ORIGINALS, record.image, image)


@contextlib.contextmanager
def _writers(tasks: Sequence[Task], folder: Path) -> Iterator[list[tuple[Task, store.Writer]]]:
    """Every task with the archive that it writes to."""
    with contextlib.ExitStack() as stack:
        yield [(t, stack.enter_context(store.writer(folder / f"{t.name}.zip"))) for t in tasks]


def _look(
    writers: Sequence[tuple[Task, store.Writer]], truth: Truth, codec: str, name: str, image: Image
) -> None:
    for task, stored in writers:
        stored.add(codec, name, task.predict(image, truth.face_boxes(name)), image.shape[:2])
