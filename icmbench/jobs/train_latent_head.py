"""Training of the head of a task on decoded latents."""

from __future__ import annotations

from icmbench.jobs.bundled_or_trained import TrainingJob


def train_latent_head(job: TrainingJob) -> None:
    """Train a head on the latents of training scenes at every point of codec entries.

    The settings hold `entries`: those of `make_codec_entry` by codec entry, which have one model,
    whose files are `bundled`.
    """
    from icmbench.codecs.registry import codec_class
    from icmbench.core.files import sha256_file
    from icmbench.evaluation.shard import make_codec_entry
    from icmbench.jobs.training import schedule, session, training_set
    from icmbench.models.tensors import save_network
    from icmbench.tasks.training.latent_head import CELL, make_pairs, train_head
    from icmbench.training.provenance import training_provenance

    files, plan, data = session(job), schedule(job), training_set(job, CELL)
    made = [make_codec_entry(name, settings) for name, settings in job.settings["entries"].items()]
    points = list({point.spec: point for entry in made for point in entry.points}.values())
    codec = codec_class(made[0].codec)(models=made[0].setup.models, device=files.device)
    pairs = make_pairs(codec, points, data, job.settings["images"])
    about = {
        "points": [point.spec for point in points],
        "images": job.settings["images"],
        "pool": data.digest,
        "model": {path.name: sha256_file(path) for path in sorted(job.bundled)},
    }
    state, metadata = train_head(pairs, job.settings["channels"], plan, files, about)
    provenance = {**training_provenance(plan, data, CELL, None), **about}
    save_network(job.weights[0], state, {**metadata, "provenance": provenance})
