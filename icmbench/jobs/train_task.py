"""Training of the bundled task models."""

from __future__ import annotations

from icmbench.jobs.bundled_or_trained import TrainingJob


def train_task(job: TrainingJob) -> None:
    """Fine-tune a bundled task model on clean scenes."""
    from icmbench.jobs.training import schedule, session
    from icmbench.models.tensors import save_network
    from icmbench.tasks.training.part import train_part

    state, metadata = train_part(
        job.part, schedule(job), job.records, job.images, session(job), cache_mb=job.cache_mb
    )
    save_network(job.weights[0], state, metadata)
