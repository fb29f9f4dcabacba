"""Weight files: the bundled ones, or trained ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from icmbench.core.files import write_bytes

if TYPE_CHECKING:  # copies need no torch
    from icmbench.training.clock import Clock
    from icmbench.training.shares import Group


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """Files and hyper-parameters of a training.

    Attributes:
        weights: weight files to write.
        settings: hyper-parameters; empty: `bundled` is copied.
        bundled: files to copy or to start from, in the order of `weights`; none: from scratch.
        records, images: list and folder of every source of the training set.
        autoencoder, prior, labels: files of earlier trainings.
        tags: files of the tags of training images (`training.image_tags`); none: untagged.
        history: table of losses to write.
        conditions: file to write of the time, device, revision and versions of the training.
        checkpoint: state of an interrupted training, removed at its end. It is no output of a
            rule, because Snakemake removes the outputs of a job that was killed.
        stage: number of the training stage.
        part: name of the weight file.
        device: as in the configuration.
        threads: of torch.
        cache_mb: 10^6 bytes of decoded training images that stay in memory; no result changes.
        compute: processes and micro-batches, as `training.compute` of the configuration.
        group: the processes that run this job together; None: this one alone.
        clock: of the training; None: it starts with the job.
    """

    weights: Sequence[Path]
    settings: Mapping[str, Any]
    bundled: Sequence[Path] = ()
    records: Sequence[Path] = ()
    images: Sequence[Path] = ()
    autoencoder: Path | None = None
    prior: Path | None = None
    labels: Path | None = None
    tags: Sequence[Path] = ()
    history: Path | None = None
    conditions: Path | None = None
    checkpoint: str | None = None
    stage: int = 1
    part: str = ""
    device: str = "cpu"
    threads: int = 1
    cache_mb: float = 0
    compute: Mapping[str, Any] = field(default_factory=dict)
    group: Group | None = None
    clock: Clock | None = None


def bundled_or_trained(train: Callable[[TrainingJob], None], job: TrainingJob) -> None:
    """Copy the bundled files, byte for byte, where there are no settings; else train."""
    if not job.settings:
        for source, target in zip(job.bundled, job.weights, strict=True):
            write_bytes(target, source.read_bytes())
        return
    # By names that fingerprints do not follow: an edit of what describes a training reruns neither
    # it nor a copy.
    job = replace(job, clock=job.clock or resolve_name("icmbench.training.clock:Clock")())
    train(job)
    if job.conditions is not None:
        resolve_name("icmbench.jobs.conditions:write_conditions")(job.conditions, job)
    if job.checkpoint is not None:
        Path(job.checkpoint).unlink(missing_ok=True)
