"""Feature gaps of one shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.core.errors import ConfigError
from icmbench.core.files import write_parquet
from icmbench.datasets.records import read_records, usable
from icmbench.studies.feature_gap import shard_gaps
from icmbench.tasks.backends.openmm_task import OpenMMTask
from icmbench.tasks.evaluate import read_truth
from icmbench.tasks.registry import make_task
from icmbench.tasks.run import load_tasks


def feature_gap_shard(
    dataset: str,
    task: str,
    codec: str,
    *,
    entry: Mapping[str, Any],
    device: str,
    split: str,
    threads: int,
    truth: Sequence[Path],
    records: Path,
    images: Path,
    pictures: Path,
    decoded: Path,
    gaps: Path,
) -> None:
    """Compare the features of a task's backbone between originals and reconstructions.

    Args:
        codec: name of the codec entry.
        entry: the task's entry of the configuration.
        truth: annotations of the data set.
        records, images: the shard's list and folder.
        pictures, decoded: the archive and the status table of the decoding job.
        gaps: the table to write.

    Raises ConfigError for a task without a backbone.
    """
    import torch

    torch.set_num_threads(threads)
    model = make_task(task, entry)
    if not isinstance(model, OpenMMTask):
        raise ConfigError(f"task {task!r}: {model.kind} has no backbone; choose mmdet or mmseg")
    labels = read_truth(truth[0].parent).labels(dataset)
    ((_, failure),) = load_tasks([model], labels, device)
    chosen = usable(read_records(records), split)
    frame = shard_gaps(
        model, failure, dataset, codec, chosen, images, pictures=pictures, decoded=decoded
    )
    write_parquet(gaps, frame)
