"""Training of Diff-ICMH's codec and control network."""

from __future__ import annotations

from dataclasses import replace

from icmbench.jobs.bundled_or_trained import TrainingJob


def train_stage(job: TrainingJob) -> None:
    """Train codec and control network for one stage, on the training set.

    `job.bundled` are the files of the stage before, or the bundled ones; none: from scratch.
    """
    from icmbench.codecs.diff_icmh.networks.lfgcm import STRIDE
    from icmbench.codecs.diff_icmh.training.codec import make_codec
    from icmbench.codecs.diff_icmh.training.losses import LossWeights, load_frozen
    from icmbench.jobs.training import needed, schedule, session, training_set

    settings, files = job.settings, session(job)
    losses, crop = settings["codec"], settings["crop"] // STRIDE * STRIDE
    files = replace(files, start=job.bundled[0].parent if job.bundled else None)
    make_codec(
        job.weights[0].parent,
        load_frozen(needed(job.autoencoder).parent, needed(job.prior), files.device),
        schedule(job, ema_decay=losses["average"]),
        training_set(job, crop),
        files,
        stage=job.stage,
        weights=LossWeights(
            lambda_noise=losses["noise"],
            lambda_c=losses["guide"],
            lambda_rate=tuple(losses["rates"]),
            lambda_sem=losses["semantic"],
            tags=losses["tags"],
            timesteps=losses["draws"],
            freeze_codec=losses["steer_only"],
        ),
        source_tags=settings["source_tags"],
        crop=crop,
    )
