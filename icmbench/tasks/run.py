"""The jobs of tasks: predictions for the decoded images of a shard, and for the originals.

A failing image is a row and never ends a job: whatever a model raises on one image is recorded
beside its predictions, with the reason. A model that cannot be loaded fails on every image.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from icmbench.core.devices import use_device
from icmbench.core.errors import TaskError
from icmbench.core.images.image_files import read_image
from icmbench.core.progress import progress
from icmbench.datasets.records import Record
from icmbench.evaluation import archive
from icmbench.evaluation.shard import DECODED, read_rows
from icmbench.tasks import store
from icmbench.tasks.answers import answer_of
from icmbench.tasks.attempt import Failure, attempt
from icmbench.tasks.base import ORIGINALS, Image, Labels, Task, kind_of
from icmbench.tasks.evaluate import Truth

Loaded = Sequence[tuple[Task, Failure | None]]
Writers = Sequence[tuple[Task, store.Writer]]


def load_tasks(tasks: Sequence[Task], labels: Labels, device: str) -> Loaded:
    """Load every task once; returns each with its failure, or None.

    Args:
        device: of the configuration: auto, cpu or cuda.

    Raises ConfigError where cuda is asked for by a task that can use it, and there is none.
    """
    # No GPU was requested from the scheduler for tasks that cannot use one: they refuse to load.
    usable = any(task.uses_device for task in tasks)
    resolved = use_device(device) if usable or device != "cuda" else device
    return [(task, load_task(task, labels, resolved, must=device == "cuda")) for task in tasks]


def load_task(task: Task, labels: Labels, device: str, *, must: bool = False) -> Failure | None:
    """Load a task on `device` (cpu or cuda); returns the failure, or None.

    Args:
        must: True where the configuration requires this device: the task must not use another.
    """
    task.device = device if task.uses_device else "cpu"
    task.must_use_device = must
    found = attempt(f"task {task.name!r}, loading", lambda: task.load(labels, device))
    return found if isinstance(found, Failure) else None


def predict_pictures(
    tasks: Loaded, truth: Truth, pictures: Path, decoded: Path, folder: Path
) -> None:
    """Predict on every reconstruction that a shard's decoding job wrote.

    Args:
        tasks: of `load_tasks`.
        pictures, decoded: what `evaluation.decode.decode_shard` wrote; failed rows have
            none.
        folder: gets an archive `<task>.zip` per task.
    """
    rows = [row for row in read_rows(decoded, DECODED) if row["status"] == "ok"]
    with archive.reader(pictures) as source, _writers(tasks, folder) as writers:
        for row in progress(rows, desc=f"predicting {folder.parent.name}", unit="image"):
            codec, name = row["codec"], row["image"]
            member = archive.picture_member(codec, name)
            read = partial(archive.read_picture, source, member)
            _predict(writers, truth, codec, name, read)


def predict_originals(
    tasks: Loaded, truth: Truth, records: Sequence[Record], images: Path, folder: Path
) -> None:
    """Predict on the originals of a shard: the ceiling of the scores."""
    with _writers(tasks, folder) as writers:
        for record in progress(records, desc=f"looking at {ORIGINALS}", unit="pic"):

            def read(path: Path = images / record.path) -> Image:
                return read_image(path)[0]

            _predict(writers, truth, ORIGINALS, record.image, read)


@contextlib.contextmanager
def _writers(tasks: Loaded, folder: Path) -> Iterator[Writers]:
    """Every task that is loaded, with the archive that it writes to; the others' stay empty."""
    with contextlib.ExitStack() as stack:
        opened = []
        for task, failure in tasks:
            written = stack.enter_context(store.writer(folder / f"{task.name}.zip"))
            if failure is None:
                written.device = task.device
                opened.append((task, written))
            else:
                written.failed = failure.reason
        yield opened


def _predict(
    writers: Writers, truth: Truth, codec: str, name: str, read: Callable[[], Image]
) -> None:
    """Store what every task finds in one image, or why it finds nothing."""
    if not writers:
        return
    image = attempt(f"image {name!r} of {codec}", read)
    for task, stored in writers:
        found = image if isinstance(image, Failure) else _found(task, truth, codec, name, image)
        if isinstance(found, Failure):
            stored.fail(codec, name, found.reason)
        else:
            stored.put(codec, name, found)


def _found(
    task: Task, truth: Truth, codec: str, name: str, image: Image
) -> tuple[str, bytes] | Failure:
    """A task's prediction for an image, as it is stored."""

    def predict() -> tuple[str, bytes]:
        given = answer_of(task.produces).given(truth, name)
        prediction = task.predict(image, given)
        if (kind := kind_of(prediction)) != task.produces:
            raise TaskError(f"its prediction is of the kind {kind}, it states {task.produces}")
        return store.encode(prediction, image.shape[:2])

    return attempt(f"task {task.name!r}, image {name!r} of {codec}", predict)
