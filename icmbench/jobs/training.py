"""Arguments of the training loops, from the parameters of a training job."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import torch

from icmbench.core.devices import use_device
from icmbench.core.errors import ConfigError
from icmbench.jobs.bundled_or_trained import TrainingJob
from icmbench.training.data import TrainingData, read_provided
from icmbench.training.loop import Schedule

KEYS = ("steps", "batch", "learning_rate", "seed", "precision")


class Files(TypedDict):
    """Arguments of every training loop."""

    start: Path | None
    checkpoint: Path
    history: Path
    device: str


def training_files(job: TrainingJob) -> Files:
    """Start, checkpoint, history and device of a training; sets torch's number of threads.

    Raises ConfigError where the job names no checkpoint or no history.
    """
    if job.checkpoint is None or job.history is None:
        raise ConfigError(f"{job.weights[0]}: training needs paths of a checkpoint and a history")
    return {
        "start": start_file(job),
        "checkpoint": Path(job.checkpoint),
        "history": job.history,
        "device": training_device(job),
    }


def training_device(job: TrainingJob) -> str:
    """The device of a job; sets torch's number of threads."""
    torch.set_num_threads(job.threads)
    return use_device(job.device)


def start_file(job: TrainingJob) -> Path | None:
    """The bundled weight file that a training starts from; None: from scratch."""
    return job.bundled[0] if job.settings["start"] == "bundled" else None


def schedule(job: TrainingJob, **more: Any) -> Schedule:
    """The schedule of a training job; `more`: further attributes of `Schedule`."""
    return Schedule(**{key: job.settings[key] for key in KEYS if key in job.settings}, **more)


def training_set(job: TrainingJob, smallest: int) -> TrainingData:
    """The training set of a job; `smallest`: smallest allowed side of an image in pixels."""
    return read_provided(job.records, job.images, smallest=smallest)


def needed(path: Path | None) -> Path:
    """File of an earlier training; ConfigError where the rule does not name it."""
    if path is None:
        raise ConfigError("the rule of this training names no file of an earlier training")
    return path
