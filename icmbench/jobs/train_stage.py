"""Training of Diff-ICMH's codec and control network, or of the codec alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from icmbench.jobs.bundled_or_trained import TrainingJob
from icmbench.jobs.processes import train_together

if TYPE_CHECKING:  # the workflow names jobs without loading torch
    from icmbench.codecs.diff_icmh.networks.control import ControlSettings
    from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
    from icmbench.codecs.diff_icmh.training.losses import LossWeights
    from icmbench.training.loop import Session


def train_stage(job: TrainingJob) -> None:
    """Train codec and control network for one stage, on the training set, or the codec alone.

    `job.bundled` are the files of the stage before, or the bundled ones; none: from scratch. Where
    no control network is among them, it is made from scratch.
    """
    train_together(_train_alone if job.settings.get("codec_alone") else _train, job)


def _train(job: TrainingJob) -> None:
    """Train in this process, by itself or together with others."""
    from icmbench.codecs.diff_icmh.training.codec import make_codec
    from icmbench.codecs.diff_icmh.training.losses import load_frozen
    from icmbench.jobs.training import needed, schedule, training_set
    from icmbench.training.image_tags import read_image_tags

    settings, files, crop = job.settings, _session(job), _crop(job)
    weights = loss_weights(settings["codec"], settings.get("sampled"))
    if settings["imported"] and files.device == "cuda":
        # By a name that fingerprints do not follow: an edit of the estimate does not rerun a
        # training of weeks.
        resolve_name("icmbench.jobs.gpu_memory:check_gpu")(job, files, weights, crop)
    frozen = load_frozen(needed(job.autoencoder).parent, needed(job.prior), files.device)
    latent = frozen.prior.settings.latent
    sizes: dict[str, Any] = {}
    if job.stage == 1:
        sizes = {"settings": codec_sizes(settings, latent)}
    if "control" in settings:
        sizes["control"] = control_sizes(settings, latent)
    make_codec(
        job.weights[0].parent,
        frozen,
        schedule(job, ema_decay=settings["codec"]["average"]),
        training_set(job, crop),
        files,
        stage=job.stage,
        weights=weights,
        source_tags=settings["source_tags"],
        image_tags=read_image_tags(job.tags) if job.tags else None,
        crop=crop,
        control_from_scratch="control.safetensors" not in {path.name for path in job.bundled},
        **sizes,
        decoding=_decoding(settings),
    )


def _train_alone(job: TrainingJob) -> None:
    """Train the codec by itself, in this process or together with others."""
    from icmbench.codecs.diff_icmh.training.codec_alone import make_codec_alone
    from icmbench.jobs.training import needed, schedule, training_set

    settings, crop = job.settings, _crop(job)
    make_codec_alone(
        job.weights[0].parent,
        needed(job.autoencoder).parent,
        schedule(job, ema_decay=settings["codec"]["average"]),
        training_set(job, crop),
        _session(job),
        weights=loss_weights(settings["codec"]),
        image=(settings["image"], settings["image_after"]),
        crop=crop,
        settings=codec_sizes(settings),
        decoding=_decoding(settings),
    )


def _session(job: TrainingJob) -> Session:
    from icmbench.jobs.training import session

    return replace(session(job), start=job.bundled[0].parent if job.bundled else None)


def _crop(job: TrainingJob) -> int:
    """Pixels a side of the training crops."""
    from icmbench.codecs.diff_icmh.networks.lfgcm import STRIDE

    crop: int = job.settings["crop"] // STRIDE * STRIDE
    return crop


def _decoding(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Defaults of the decode keys."""
    from icmbench.codecs.diff_icmh.sampling import PUBLISHED_DECODING
    from icmbench.codecs.diff_icmh.training.codec_files import DECODING

    decoding = PUBLISHED_DECODING if settings["imported"] else DECODING
    start = settings["codec"]["start"]
    decoding = {**decoding, "start": start} if start else decoding
    steps = settings.get("sampled", {}).get("steps", 0)
    # Samples are close to c, which has values beyond the limit of four standard deviations.
    return {**decoding, "sampler": "ddim", "steps": steps, "clip": None} if steps else decoding


def loss_weights(
    losses: Mapping[str, Any], sampled: Mapping[str, Any] | None = None
) -> LossWeights:
    """Loss weights of the section `codec`, and of `sampled` where it has steps."""
    from icmbench.codecs.diff_icmh.sampling import STEPS
    from icmbench.codecs.diff_icmh.training.losses import LossWeights, SampledWeights

    return LossWeights(
        lambda_noise=losses["noise"],
        lambda_c=losses["guide"],
        lambda_rate=tuple(losses["rates"]),
        lambda_sem=losses["semantic"],
        tags=losses["tags"],
        timesteps=losses["draws"],
        freeze_codec=losses["steer_only"],
        levels=losses["start"] + 1 if losses["start"] else STEPS,
        sampled=SampledWeights(**sampled) if sampled and sampled["steps"] else None,
    )


def codec_sizes(settings: Mapping[str, Any], latent: int | None = None) -> LfgcmSettings:
    """Sizes of a codec from scratch, for a latent of so many channels; None: decided later."""
    from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings

    given = settings["lfgcm"]
    return LfgcmSettings(
        **({} if latent is None else {"out_channels": latent}),
        hyper=given["hyper"],
        latent=given["latent"],
        prior=given["side"],
        sft_hidden=given["sft_hidden"],
        rates=len(settings["codec"]["rates"]),
        encoder=tuple(given["encoder"]),
        slices=tuple(given["slices"]),
        context_hidden=tuple(given["context_hidden"]),
        linear=given["linear"],
    )


def control_sizes(settings: Mapping[str, Any], latent: int) -> ControlSettings:
    """Sizes of a control network from scratch, for a latent of so many channels."""
    from icmbench.codecs.diff_icmh.networks.control import ControlSettings

    given = settings["control"]
    return ControlSettings(ratio=given["ratio"], head_width=given["head_width"], hint=latent)
