"""Training of Diff-ICMH's prior and tagger."""

from __future__ import annotations

from icmbench.jobs.bundled_or_trained import TrainingJob


def train_prior(job: TrainingJob) -> None:
    """Train the latent diffusion model of Diff-ICMH on the training set, or import a published one.

    The first of `job.weights` is the prior's file, in the model folder.
    """
    from icmbench.codecs.diff_icmh.networks.prior import PriorSettings
    from icmbench.codecs.diff_icmh.networks.unet import UnetSettings
    from icmbench.codecs.diff_icmh.training.prior import make_prior
    from icmbench.jobs.training import needed, schedule, session, training_set
    from icmbench.models.latent import CELL

    settings = job.settings
    _remove_others(job)
    if settings["imported"]:
        _import(job)
        return
    sizes = UnetSettings(
        channels=tuple(settings["channels"]),
        layers=settings["layers"],
        attention=tuple(settings["attention"]),
        head_width=settings["head_width"],
        context=settings["context"],
    )
    make_prior(
        job.weights[0],
        needed(job.autoencoder).parent,
        schedule(job, ema_decay=settings["codec"]["average"]),
        training_set(job, CELL * settings["cells"]),
        session(job),
        source_tags=settings["source_tags"],
        cells=settings["cells"],
        settings=PriorSettings(sizes, tokens=settings["tokens"]),
        prediction=settings["prediction"],
    )


def _remove_others(job: TrainingJob) -> None:
    """Remove files of another prior from the model folder, whose presence decides what is loaded.

    An earlier run had a trained prior with a tagger, or an imported one with a text encoder.
    """
    from icmbench.codecs.diff_icmh.model_folder import LAYOUT, TAGGER, TEXT, part_file

    folder = job.weights[0].parent
    known = [part_file(folder, part) for part in (TEXT, TAGGER)]
    known += [folder / name for name in LAYOUT.texts]
    imported = job.settings["imported"]
    kept = set(job.weights) if imported else {part_file(folder, TAGGER)}
    for path in set(known) - kept:
        path.unlink(missing_ok=True)


def _import(job: TrainingJob) -> None:
    from icmbench.codecs.diff_icmh.importing.prior_import import import_prior
    from icmbench.codecs.diff_icmh.training.settings import given_files

    import_prior(job.weights[0].parent, given_files(job.settings), job.settings["prediction"])


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
        channels=tuple(settings["channels"]),
    )
