"""Adaptation of a bundled task model to a codec."""

from __future__ import annotations

from icmbench.jobs.bundled_or_trained import TrainingJob


def adapt_task(job: TrainingJob) -> None:
    """Fine-tune a task model on training scenes as a codec decodes them.

    The settings hold `codec`: name and arguments of `make_codec_entry`, with the points that it is
    adapted to, and `images`, the number of scenes. The first of `bundled` is the model as it is.
    """
    from icmbench.codecs.registry import codec_class
    from icmbench.core.devices import use_device
    from icmbench.core.files import sha256_file
    from icmbench.evaluation.shard import make_codec_entry
    from icmbench.jobs.training import schedule, session, training_set
    from icmbench.models.tensors import save_network
    from icmbench.tasks.training.adapt import reconstructed
    from icmbench.tasks.training.part import PACKAGES, SIZE
    from icmbench.tasks.training.train_openmm import train_openmm
    from icmbench.training.provenance import training_provenance

    files, plan = session(job), schedule(job)
    entry = make_codec_entry(*job.settings["codec"])
    codec = codec_class(entry.codec)(
        models=entry.setup.models, device=use_device(entry.setup.device)
    )
    scenes = training_set(job, SIZE // 2)
    data = reconstructed(codec, entry.points, scenes, job.settings["images"])
    state, metadata = train_openmm(PACKAGES[job.part], plan, data, SIZE, files)
    about = {
        "adapted_to": [point.spec for point in entry.points],
        "images": len(data.images) // len(entry.points),
        "originals": scenes.digest,
        "model": {path.name: sha256_file(path) for path in sorted(job.bundled[1:])},
    }
    provenance = {**training_provenance(plan, data, SIZE, files.start), **about}
    save_network(job.weights[0], state, {**metadata, "provenance": provenance})
