"""The prior of Diff-ICMH or its tagger: the bundled file as it is, or one trained on the pool."""

from pathlib import Path

from icmbench.core.files import write_bytes
from icmbench.core.joblog import log_to

with log_to(snakemake.log[0]):
    files, out, settings = snakemake.input, snakemake.output, snakemake.params.settings
    if not settings:
        write_bytes(out.weights, Path(files.bundled).read_bytes())
    else:
        import torch

        from icmbench.codecs.diff_icmh.networks.prior import load_prior
        from icmbench.codecs.diff_icmh.training.prior import make_prior, make_tagger
        from icmbench.core.devices import use_device
        from icmbench.training.data import read_provided
        from icmbench.training.loop import Schedule

        torch.set_num_threads(snakemake.threads)
        checkpoint = Path(snakemake.params.checkpoint)
        keys = ("steps", "batch", "learning_rate", "seed", "precision")
        own = {"average": settings["codec"]["average"]} if snakemake.rule == "train_prior" else {}
        shared = {
            "source_tags": settings["source_tags"],
            "cells": settings["cells"],
            "checkpoint": checkpoint,
            "history": Path(out.history),
            "start": Path(files.bundled) if settings["start"] == "bundled" else None,
            "device": use_device(settings["device"]),
        }
        weights, autoencoder = Path(out.weights), Path(files.autoencoder).parent
        schedule = Schedule(**{key: settings[key] for key in keys}, **own)
        pool = read_provided(files.records, files.images, smallest=8 * settings["cells"])
        if snakemake.rule == "train_prior":
            make_prior(weights, autoencoder, schedule, pool, **shared)
        else:
            words = load_prior(Path(files.prior)).settings.vocabulary
            make_tagger(weights, autoencoder, schedule, pool, vocabulary=words, **shared)
        checkpoint.unlink(missing_ok=True)
