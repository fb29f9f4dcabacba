"""Training of Diff-ICMH's prior and tagger."""

from __future__ import annotations

from icmbench.jobs.bundled_or_trained import TrainingJob


def train_prior(job: TrainingJob) -> None:
    """Train the latent diffusion model of Diff-ICMH on the training set."""
    from icmbench.codecs.diff_icmh.training.prior import make_prior
    from icmbench.jobs.training import needed, schedule, session, training_set
    from icmbench.models.latent import CELL

    settings = job.settings
    make_prior(
        job.weights[0],
        needed(job.autoencoder).parent,
        schedule(job, ema_decay=settings["codec"]["average"]),
        training_set(job, CELL * settings["cells"]),
        session(job),
        source_tags=settings["source_tags"],
        cells=settings["cells"],
    )


def train_tagger(job: TrainingJob) -> None:
    """Train the tagger on the training set, with the vocabulary of the prior."""
    from icmbench.codecs.diff_icmh.networks.prior import load_prior
    from icmbench.codecs.diff_icmh.training.prior import make_tagger
    from icmbench.jobs.training import needed, schedule, session, training_set
    from icmbench.models.latent import CELL

    settings = job.settings
    make_tagger(
        job.weights[0],
        needed(job.autoencoder).parent,
        schedule(job),
        training_set(job, CELL * settings["cells"]),
        session(job),
        source_tags=settings["source_tags"],
        vocabulary=load_prior(needed(job.prior)).settings.vocabulary,
        cells=settings["cells"],
    )
