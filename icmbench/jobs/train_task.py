"""Training of the bundled task models."""

from __future__ import annotations

from icmbench.jobs.bundled_or_trained import TrainingJob


def train_task(job: TrainingJob) -> None:
    """Fine-tune a bundled task model on clean scenes."""
    from icmbench.jobs.training import schedule, training_files
    from icmbench.models.tensors import save_network
    from icmbench.tasks.training.part import train_part

    files = training_files(job)
    state, metadata = train_part(job.part, schedule(job), job.records, job.images, **files)
    save_network(job.weights[0], state, metadata)
