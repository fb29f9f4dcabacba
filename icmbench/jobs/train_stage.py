"""Training of Diff-ICMH's codec and control network."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from icmbench.jobs.bundled_or_trained import TrainingJob
from icmbench.jobs.processes import train_together


def train_stage(job: TrainingJob) -> None:
    """Train codec and control network for one stage, on the training set.

    `job.bundled` are the files of the stage before, or the bundled ones; none: from scratch.
    """
    train_together(_train, job)


def _train(job: TrainingJob) -> None:
    """Train in this process, by itself or together with others."""
    from icmbench.codecs.diff_icmh.networks.lfgcm import STRIDE
    from icmbench.codecs.diff_icmh.sampling import PUBLISHED_DECODING
    from icmbench.codecs.diff_icmh.training.codec import DECODING, make_codec
    from icmbench.codecs.diff_icmh.training.losses import LossWeights, load_frozen
    from icmbench.jobs.training import needed, schedule, session, training_set
    from icmbench.training.image_tags import read_image_tags

    settings, files = job.settings, session(job)
    losses, crop = settings["codec"], settings["crop"] // STRIDE * STRIDE
    files = replace(files, start=job.bundled[0].parent if job.bundled else None)
    weights = LossWeights(
        lambda_noise=losses["noise"],
        lambda_c=losses["guide"],
        lambda_rate=tuple(losses["rates"]),
        lambda_sem=losses["semantic"],
        tags=losses["tags"],
        timesteps=losses["draws"],
        freeze_codec=losses["steer_only"],
    )
    if settings["imported"] and files.device == "cuda":
        # By name: an edit of the estimate does not rerun a training of weeks.
        importlib.import_module("icmbench.jobs.gpu_memory").check_gpu(job, files, weights, crop)
    frozen = load_frozen(needed(job.autoencoder).parent, needed(job.prior), files.device)
    make_codec(
        job.weights[0].parent,
        frozen,
        schedule(job, ema_decay=losses["average"]),
        training_set(job, crop),
        files,
        stage=job.stage,
        weights=weights,
        source_tags=settings["source_tags"],
        image_tags=read_image_tags(job.tags) if job.tags else None,
        crop=crop,
        **(codec_sizes(settings, frozen.prior.settings.latent) if job.stage == 1 else {}),
        decoding=PUBLISHED_DECODING if settings["imported"] else DECODING,
    )


def codec_sizes(settings: Mapping[str, Any], latent: int) -> dict[str, Any]:
    """Sizes of a codec and control network from scratch, for a latent of so many channels."""
    from icmbench.codecs.diff_icmh.networks.control import ControlSettings
    from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings

    given, control = settings["lfgcm"], settings["control"]
    return {
        "settings": LfgcmSettings(
            out_channels=latent,
            hyper=given["hyper"],
            latent=given["latent"],
            prior=given["side"],
            sft_hidden=given["sft_hidden"],
            rates=len(settings["codec"]["rates"]),
            encoder=tuple(given["encoder"]),
            slices=tuple(given["slices"]),
            context_hidden=tuple(given["context_hidden"]),
        ),
        "control": ControlSettings(
            ratio=control["ratio"], head_width=control["head_width"], hint=latent
        ),
    }
