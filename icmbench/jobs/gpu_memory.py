"""A check before a training: whether a step fits into the memory of the GPU."""

from __future__ import annotations

import torch

from icmbench.codecs.diff_icmh.networks.control import ControlSettings
from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
from icmbench.codecs.diff_icmh.networks.unet import UnetSettings
from icmbench.codecs.diff_icmh.training.losses import LossWeights
from icmbench.jobs.bundled_or_trained import TrainingJob
from icmbench.jobs.train_stage import codec_sizes, control_sizes
from icmbench.jobs.training import needed
from icmbench.models.headers import read_header
from icmbench.studies.training_cost import check_memory, sizes_of, step_cost
from icmbench.training.loop import Session


def check_gpu(job: TrainingJob, files: Session, weights: LossWeights, crop: int) -> None:
    """Compute the memory of a step from shapes; ConfigError where the GPU has less free."""
    prior, settings = needed(job.prior), job.settings
    latent = UnetSettings.read(read_header(prior)["network"]["unet"]).latent
    if files.start is None:
        lfgcm = codec_sizes(settings, latent)
    else:
        lfgcm = LfgcmSettings.read(read_header(files.start / "codec.safetensors")["network"])
    if "control" in settings:
        control = control_sizes(settings, latent)
    else:
        assert files.start is not None, "a training from scratch has sizes of its control network"
        about = read_header(files.start / "control.safetensors")["network"]
        control = ControlSettings.read(about["control"])
    shares = files.group.shares(settings["batch"], files.micro_batch)
    cost = step_cost(
        sizes_of(prior, needed(job.autoencoder), lfgcm, control),
        weights,
        crop=crop,
        micro_batch=max(share.count for share in shares),
        bfloat16=settings["precision"] == "bfloat16",
        recompute=files.recompute,
        averaged=settings["codec"]["average"] > 0 and files.group.writes,
    )
    free, _ = torch.cuda.mem_get_info()
    check_memory(cost, free, torch.cuda.get_device_name())
