"""Training of the autoencoder, or import of a published one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from icmbench.jobs.bundled_or_trained import TrainingJob


def train_autoencoder(job: TrainingJob) -> None:
    """Train the autoencoder on the training set, or import the one at `from`."""
    from icmbench.codecs.mpd.training.autoencoder import AVERAGE, make_autoencoder
    from icmbench.codecs.mpd.training.imported import Carried, import_autoencoder
    from icmbench.jobs.training import schedule, session, training_device, training_set
    from icmbench.models.block_autoencoder import BlockSettings

    settings, crop = job.settings, job.settings["crop"]
    if settings["from"] is not None:
        source = Path(settings["from"]).expanduser()
        device = training_device(job)
        carried = Carried(settings["directions"], settings["metric"])
        import_autoencoder(job.weights[0], source, training_set(job, crop), device, carried)
        return
    files = session(job)
    files = replace(files, start=files.start and files.start.parent)
    lists = {name: tuple(settings[name]) for name in ("encoder", "decoder", "blocks")}
    make_autoencoder(
        job.weights[0],
        schedule(job, ema_decay=AVERAGE),
        training_set(job, crop),
        files,
        crop=crop,
        carried=settings["carried"],
        settings=BlockSettings(latent=settings["latent"], **lists),
    )
