"""Arguments of the training loops, from the parameters of a training job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from icmbench.core.devices import use_device
from icmbench.core.errors import ConfigError
from icmbench.jobs.bundled_or_trained import TrainingJob
from icmbench.training.clock import Clock
from icmbench.training.data import TrainingData, read_provided
from icmbench.training.loop import Schedule, Session
from icmbench.training.shares import ALONE

KEYS = ("steps", "batch", "learning_rate", "seed", "precision")


def session(job: TrainingJob) -> Session:
    """Files and device of a training, a bundled file as its start; sets torch's threads.

    Raises ConfigError where the job names no checkpoint or no history.
    """
    if job.checkpoint is None or job.history is None:
        raise ConfigError(f"{job.weights[0]}: training needs paths of a checkpoint and a history")
    start = job.bundled[0] if job.settings["start"] == "bundled" else None
    return Session(
        Path(job.checkpoint),
        job.history,
        start,
        training_device(job),
        micro_batch=job.compute.get("micro_batch", 0),
        group=job.group or ALONE,
        recompute=job.compute.get("recompute", False),
        clock=job.clock or Clock(),
    )


def training_device(job: TrainingJob) -> str:
    """The device of a job; sets torch's number of threads."""
    torch.set_num_threads(job.threads)
    return use_device(job.device)


def schedule(job: TrainingJob, **more: Any) -> Schedule:
    """The schedule of a training job; `more`: further attributes of `Schedule`."""
    return Schedule(**{key: job.settings[key] for key in KEYS if key in job.settings}, **more)


def training_set(job: TrainingJob, smallest: int) -> TrainingData:
    """The training set of a job; `smallest`: smallest allowed side of an image in pixels."""
    return read_provided(job.records, job.images, smallest=smallest, cache_mb=job.cache_mb)


def needed(path: Path | None) -> Path:
    """File of an earlier training; ConfigError where the rule does not name it."""
    if path is None:
        raise ConfigError("the rule of this training names no file of an earlier training")
    return path
