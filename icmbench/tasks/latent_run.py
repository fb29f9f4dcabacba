"""The jobs of tasks on latents: predictions for the streams of a shard, and for the originals.

A fresh codec process gets the file of every point and returns its latent, as it returns images to
the decoding job; it never runs the image decoder for a prediction. Failures are rows, as in
`icmbench.tasks.run`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from icmbench.codecs.base import Latent
from icmbench.core.errors import TaskError
from icmbench.core.images.image_files import read_image
from icmbench.core.progress import progress
from icmbench.datasets.records import Record
from icmbench.evaluation.codec_process import CodecProcess
from icmbench.evaluation.decode import asking
from icmbench.evaluation.shard import DECODED, CodecEntry, read_rows, write_rows
from icmbench.tasks import store
from icmbench.tasks.attempt import Failure, attempt
from icmbench.tasks.base import ORIGINALS, Task
from icmbench.tasks.latents import LatentTask
from icmbench.tasks.run import load_task

SECONDS: Final = ("codec", "image", "latent_s", "head_s", "decode_s", "network_s")
TIMED: Final = 8  # images of a shard and point that are timed, after one that is not

Loaded = tuple[LatentTask, Failure | None]


def predict_streams(
    task: Loaded, against: Task, entry: CodecEntry, streams: Path, decoded: Path, folder: Path
) -> None:
    """Predict from every file that a shard's decoding job decoded.

    Of the first images of every point the seconds are measured as well, one after the other in the
    same processes: to the latent, of the head, of the whole decoder, and of the network that takes
    reconstructions. One image before them warms up.

    Args:
        task: the loaded head, and its failure.
        against: the task on reconstructions, loaded.
        streams, decoded: what the encoding and the decoding job wrote.
        folder: gets the archive `<task>.zip`, and `seconds.csv`.
    """
    points = {point.spec: point for point in entry.points}
    rows = [row for row in read_rows(decoded, DECODED) if row["status"] == "ok"]
    seconds: list[dict[str, Any]] = []
    asked: dict[str, int] = {}
    with asking() as ask, store.writer(folder / f"{task[0].name}.zip") as out:
        for row in progress(rows, desc=f"predicting {entry.name}", unit="file"):
            spec, image = row["codec"], row["image"]
            request = partial(ask, entry, streams, points[spec], image)
            answer = _predict(task, out, spec, image, partial(request, "decode-latent"))
            if answer is None:
                continue
            asked[spec] = asked.get(spec, -1) + 1
            if asked[spec] <= TIMED:
                what = f"seconds of {image!r} of {spec}"
                found = attempt(what, partial(_time, against, answer, request))
                if asked[spec] and not isinstance(found, Failure):
                    seconds.append({"codec": spec, "image": image, **found})
        _finish(task, out)
    write_rows(folder / "seconds.csv", SECONDS, seconds)


def predict_image_latents(
    task: Loaded, entry: CodecEntry, records: Sequence[Record], images: Path, folder: Path
) -> None:
    """Predict from the latents of the originals of a shard, not coded: the ceiling."""
    with (
        CodecProcess(entry.setup) as process,
        store.writer(folder / f"{task[0].name}.zip") as out,
    ):
        for record in progress(records, desc=f"predicting {ORIGINALS}", unit="image"):

            def ask(path: Path = images / record.path) -> Mapping[str, Any]:
                return process.call("image-latent", (), image=read_image(path)[0])

            _predict(task, out, ORIGINALS, record.image, ask)
        _finish(task, out)


def load_against(task: Task, labels: Any, device: str) -> Task:
    """Load the task on reconstructions; TaskError where it cannot be."""
    if failure := load_task(task, labels, device):
        raise TaskError(f"task {task.name!r}: {failure.reason}")
    return task


def _predict(
    task: Loaded, out: store.Writer, codec: str, image: str, ask: Callable[[], Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """Store a prediction, or the reason why there is none; returns the seconds of its parts."""
    head, failure = task
    if failure is not None:
        return None

    def predict() -> dict[str, Any]:
        answer = ask()
        latent = Latent(answer["latent"], tuple(answer["size"]))
        begin = perf_counter()
        prediction = head.predict_latent(latent)
        taken = perf_counter() - begin
        out.put(codec, image, store.encode(prediction, latent.size))
        return {"latent_s": answer["seconds"], "head_s": taken}

    found = attempt(f"task {head.name!r}, image {image!r} of {codec}", predict)
    if isinstance(found, Failure):
        out.fail(codec, image, found.reason)
        return None
    return found


def _time(
    against: Task, answer: Mapping[str, Any], request: Callable[[str], Mapping[str, Any]]
) -> dict[str, str]:
    """The seconds of a row of `SECONDS`; those of the whole decoder and the network are added."""
    decoded = request("decode")
    begin = perf_counter()
    against.predict(decoded["image"], [])
    taken = {"decode_s": decoded["seconds"], "network_s": perf_counter() - begin}
    return {name: f"{value:.6f}" for name, value in {**answer, **taken}.items()}


def _finish(task: Loaded, out: store.Writer) -> None:
    head, failure = task
    out.device, out.failed = ("", failure.reason) if failure else (head.device, "")
