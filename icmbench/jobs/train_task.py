"""Training of the bundled task models."""

from __future__ import annotations

from icmbench.jobs.bundled_or_trained import TrainingJob


def train_task(job: TrainingJob) -> None:
    """Train a task model on clean scenes, from the bundled one or from scratch."""
    from icmbench.jobs.training import schedule, session
    from icmbench.models.tensors import save_network
    from icmbench.tasks.training.part import train_part

    more = {
        attribute: job.settings[key]
        for key, attribute in (("average", "ema_decay"), ("frozen_norms", "freeze_after"))
        if key in job.settings
    }
    plan = schedule(job, **more)
    state, metadata = train_part(
        job.part, plan, job.records, job.images, session(job), cache_mb=job.cache_mb
    )
    save_network(job.weights[0], state, metadata)
