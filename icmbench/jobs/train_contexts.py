"""Training of MPD's context tables."""

from __future__ import annotations

from icmbench.jobs.bundled_or_trained import TrainingJob


def train_contexts(job: TrainingJob) -> None:
    """Count the tables of MPD's entropy coder on the training set."""
    from icmbench.codecs.mpd.model_folder import AUTOENCODER
    from icmbench.codecs.mpd.training.contexts import train_contexts as count_contexts
    from icmbench.core.files import sha256_file
    from icmbench.jobs.training import needed, training_device, training_set
    from icmbench.models.tensors import save_arrays
    from icmbench.training.provenance import data_provenance

    data, images = training_set(job, job.settings["crop"]), job.settings["images"]
    autoencoder = needed(job.autoencoder)
    arrays = count_contexts(autoencoder.parent, data, images, training_device(job))
    provenance = {"images": images, "pool": data_provenance(data)}
    metadata = {"provenance": provenance, AUTOENCODER: sha256_file(autoencoder)}
    save_arrays(job.weights[0], arrays, metadata)
