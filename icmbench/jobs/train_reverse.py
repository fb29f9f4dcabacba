"""Training of MPD's reverse network."""

from __future__ import annotations

from icmbench.jobs.bundled_or_trained import TrainingJob


def train_reverse(job: TrainingJob) -> None:
    """Train the network of the reverse process on the training set."""
    from icmbench.codecs.mpd.networks.reverse_network import ReverseSettings
    from icmbench.codecs.mpd.training import reverse
    from icmbench.jobs.training import needed, schedule, session, training_set
    from icmbench.models.tensors import save_network
    from icmbench.training.provenance import training_provenance

    crop, files = job.settings["crop"], session(job)
    plan = schedule(job, ema_decay=reverse.AVERAGE)
    data = training_set(job, crop)
    sizes = ReverseSettings(channels=job.settings["channels"], blocks=job.settings["blocks"])
    folder = needed(job.autoencoder).parent
    state, metadata = reverse.train_reverse(folder, plan, data, files, sizes, crop=crop)
    provenance = training_provenance(plan, data, crop, files.start)
    save_network(job.weights[0], state, {**metadata, "provenance": provenance})
