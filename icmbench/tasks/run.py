"""The jobs of a task: what a model sees in the pictures of a shard, and in the originals."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from tqdm import tqdm

from icmbench.coding import archive
from icmbench.coding.shard import DECODED, read_rows
from icmbench.datasets.base import Record
from icmbench.images import read_image
from icmbench.tasks import store
from icmbench.tasks.base import Task
from icmbench.tasks.evaluate import Truth

ORIGINALS = "originals"  # stands where a codec's name does: what was never coded


def predict_pictures(task: Task, truth: Truth, pictures: Path, decoded: Path, out: Path) -> None:
    """Predictions for every picture that a shard's decoding job wrote.

    Args:
        task: loaded.
        pictures, decoded: what `icmbench.coding.decode.decode_shard` wrote; failed rows have none.
        out: the archive that is written.
    """
    rows = [row for row in read_rows(decoded, DECODED) if row["status"] == "ok"]
    with archive.reader(pictures) as source, store.writer(out) as stored:
        for row in tqdm(rows, desc=f"{task.name} {out.parent.name}", unit="picture", disable=None):
            data = source.read(archive.picture_member(row["codec"], row["image"]))
            with PillowImage.open(io.BytesIO(data), formats=["PNG"]) as picture:
                image = np.asarray(picture)
            found = task.predict(image, truth.face_boxes(row["image"]))
            stored.add(row["codec"], row["image"], found, image.shape[:2])


def predict_originals(
    task: Task, truth: Truth, records: Sequence[Record], folder: Path, out: Path
) -> None:
    """Predictions for the original images of a shard: what no codec can be better than, usually."""
    with store.writer(out) as stored:
        for record in tqdm(records, desc=f"{task.name} {ORIGINALS}", unit="image", disable=None):
            image, _ = read_image(folder / record.path)
            found = task.predict(image, truth.face_boxes(record.image))
            stored.add(ORIGINALS, record.image, found, image.shape[:2])
