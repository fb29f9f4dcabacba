"""Predictions from decoded latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.datasets.records import read_records, usable
from icmbench.evaluation.shard import make_codec_entry
from icmbench.tasks import latent_run
from icmbench.tasks.base import Labels
from icmbench.tasks.evaluate import read_truth
from icmbench.tasks.latents import LatentTask
from icmbench.tasks.registry import make_task
from icmbench.tasks.run import load_tasks

Entry = Mapping[str, Any]


def predict_latents(
    dataset: str,
    codec: str,
    *,
    task: tuple[str, Entry],
    against: tuple[str, Entry],
    settings: Mapping[str, Any],
    device: str,
    threads: int,
    truth: Sequence[Path],
    streams: Path,
    decoded: Path,
    predictions: Path,
) -> None:
    """Predict from the latent that the decoder makes of every file of a shard.

    Args:
        codec: name of the codec entry.
        task, against: name and entry of the head's task, and of the task that takes
            reconstructions, whose network is timed beside it.
        settings: of `make_codec_entry`.
        truth: annotations of the data set, of which only the names of the classes are used.
        streams, decoded: the archive of the encoding job and the status table of the decoding job.
        predictions: the folder to write.
    """
    labels = read_truth(truth[0].parent).labels(dataset)
    head = _load(task, labels, device, threads)
    network = latent_run.load_against(make_task(*against), labels, head[0].device)
    entry = make_codec_entry(codec, settings)
    latent_run.predict_streams(head, network, entry, streams, decoded, predictions)


def predict_latent_originals(
    dataset: str,
    *,
    task: tuple[str, Entry],
    codec: str,
    settings: Mapping[str, Any],
    device: str,
    threads: int,
    split: str,
    truth: Sequence[Path],
    records: Path,
    images: Path,
    predictions: Path,
) -> None:
    """Predict from the latents of the originals of a shard, for the ceiling of every curve.

    Args:
        codec: a codec entry with the model of the latents.
        records, images: the shard's list and folder; other arguments as in `predict_latents`.
    """
    labels = read_truth(truth[0].parent).labels(dataset)
    head = _load(task, labels, device, threads)
    chosen = usable(read_records(records), split)
    entry = make_codec_entry(codec, settings)
    latent_run.predict_image_latents(head, entry, chosen, images, predictions)


def _load(task: tuple[str, Entry], labels: Labels, device: str, threads: int) -> latent_run.Loaded:
    import torch

    torch.set_num_threads(threads)
    made = make_task(*task)
    assert isinstance(made, LatentTask)
    ((_, failure),) = load_tasks([made], labels, device)
    return made, failure
