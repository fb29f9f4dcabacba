"""Training of the autoencoder."""

from __future__ import annotations

from icmbench.jobs.bundled_or_trained import TrainingJob


def train_autoencoder(job: TrainingJob) -> None:
    """Train the autoencoder on the training set."""
    from icmbench.codecs.mpd.training.autoencoder import make_autoencoder
    from icmbench.jobs.training import schedule, training_files, training_set

    crop, files = job.settings["crop"], training_files(job)
    if files["start"] is not None:
        files["start"] = files["start"].parent
    make_autoencoder(job.weights[0], schedule(job), training_set(job, crop), crop=crop, **files)
