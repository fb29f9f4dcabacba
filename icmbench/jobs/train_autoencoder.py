"""Training of the autoencoder."""

from __future__ import annotations

from dataclasses import replace

from icmbench.jobs.bundled_or_trained import TrainingJob


def train_autoencoder(job: TrainingJob) -> None:
    """Train the autoencoder on the training set."""
    from icmbench.codecs.mpd.training.autoencoder import make_autoencoder
    from icmbench.jobs.training import schedule, session, training_set

    crop, files = job.settings["crop"], session(job)
    files = replace(files, start=files.start and files.start.parent)
    make_autoencoder(job.weights[0], schedule(job), training_set(job, crop), files, crop=crop)
