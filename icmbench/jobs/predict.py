"""Predictions of task models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.datasets.records import read_records, usable
from icmbench.tasks import run
from icmbench.tasks.evaluate import Truth, read_truth
from icmbench.tasks.registry import make_task

Entries = Mapping[str, Mapping[str, Any]]


def predict(
    dataset: str,
    *,
    entries: Entries,
    device: str,
    threads: int,
    truth: Sequence[Path],
    pictures: Path,
    decoded: Path,
    predictions: Path,
) -> None:
    """Run the models of all tasks, each loaded once, on the reconstructions of a shard.

    Args:
        entries: the tasks' entries of the configuration, by name.
        truth: annotations of the data set.
        pictures, decoded: the archive and the status table of the decoding job.
        predictions: the folder to write.
    """
    known = read_truth(truth[0].parent)
    tasks = _load(dataset, entries, device, threads, known)
    run.predict_pictures(tasks, known, pictures, decoded, predictions)


def predict_originals(
    dataset: str,
    *,
    entries: Entries,
    device: str,
    threads: int,
    split: str,
    truth: Sequence[Path],
    records: Path,
    images: Path,
    predictions: Path,
) -> None:
    """Run the models of all tasks on the originals of a shard, for the ceiling of every curve.

    Args:
        records, images: the shard's list and folder; other arguments as in `predict`.
    """
    known = read_truth(truth[0].parent)
    tasks = _load(dataset, entries, device, threads, known)
    chosen = usable(read_records(records), split)
    run.predict_originals(tasks, known, chosen, images, predictions)


def _load(dataset: str, entries: Entries, device: str, threads: int, truth: Truth) -> run.Loaded:
    import torch

    torch.set_num_threads(threads)
    made = [make_task(name, entry) for name, entry in entries.items()]
    return run.load_tasks(made, truth.labels(dataset), device)
