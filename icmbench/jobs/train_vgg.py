"""Training of the narrow VGG."""

from __future__ import annotations

from icmbench.jobs.bundled_or_trained import TrainingJob


def train_vgg(job: TrainingJob) -> None:
    """Train the narrow VGG on the training set, without labels."""
    from icmbench.codecs.mpd.networks.vgg import VggSettings
    from icmbench.codecs.mpd.training import vgg
    from icmbench.jobs.training import schedule, session, training_set
    from icmbench.models.tensors import read_metadata, save_network
    from icmbench.training.provenance import training_provenance

    crop, files, plan = job.settings["crop"], session(job), schedule(job)
    start, data = files.start, training_set(job, vgg.source_side(crop))
    network = VggSettings(tuple(job.settings["channels"]))
    if start:
        network = VggSettings.read(read_metadata(start)["network"])
    state, metadata = vgg.train_vgg(
        plan, data, crop, job.settings["objective"], files, settings=network
    )
    provenance = training_provenance(plan, data, crop, start)
    save_network(job.weights[0], state, {**metadata, "provenance": provenance})
