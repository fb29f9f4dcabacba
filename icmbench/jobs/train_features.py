"""Training of MPD's contrastive features."""

from __future__ import annotations

from icmbench.jobs.bundled_or_trained import TrainingJob


def train_features(job: TrainingJob) -> None:
    """Train the contrastive features on the pseudo-labels of the training set."""
    from icmbench.codecs.mpd.networks.features import FeatureSettings
    from icmbench.codecs.mpd.training import features
    from icmbench.codecs.mpd.training.pseudo_labels import PseudoLabels
    from icmbench.codecs.mpd.training.representation import check_labels
    from icmbench.jobs.training import needed, schedule, session, training_set
    from icmbench.models.tensors import save_network
    from icmbench.training.provenance import training_provenance

    files, plan, path = session(job), schedule(job), needed(job.labels)
    labels = PseudoLabels.load(path)
    data = training_set(job, labels.patches.size)
    check_labels(labels, data, path)
    folder = needed(job.autoencoder).parent
    sizes = FeatureSettings(
        channels=tuple(job.settings["channels"]),
        **{key: job.settings[key] for key in ("embedding", "head", "dims")},
    )
    state, metadata = features.train_features(folder, plan, data, labels, files, settings=sizes)
    provenance = training_provenance(plan, data, labels.patches.size, files.start)
    provenance["labels"] = {
        "kind": labels.kind,
        "network": labels.weights,
        "patches": len(labels.patches),
        "clusters": [len(level.centres) for level in labels.levels],
    }
    save_network(job.weights[0], state, {**metadata, "provenance": provenance})
