# GPU and memory that jobs with networks ask for; of `run` and of this machine.

import functools
import os

from icmbench.codecs.registry import codec_class
from icmbench.core.devices import has_nvidia

# Megabytes of a job with networks: its two processes, torch in one of them; per MB of weights (the
# networks, and the largest file while it is read); per 10^6 pixels of an image. A codec that works
# in tiles takes little for a larger image, diffusion of a whole latent much.
PROCESSES_MB = 1500
WEIGHTS_MB = 2
# Of a training: float32 weights, gradients and two moments are 8 times a file in float16.
TRAINING_MB = 10
TILED_MB = 80
WHOLE_MB = 1500
METRICS_MB = 1500


@functools.cache
def network_gpus():
    """GPUs of a job that runs networks: 0 or 1.

    None where the configuration says cpu. With auto, one where jobs are sent to a cluster, or where
    this machine has one.
    """
    if run.config["device"] == "auto":
        cluster = workflow.resource_settings.nodes is not None  # `--jobs`, of a cluster's profile
        return int(cluster or has_nvidia())
    return int(run.config["device"] == "cuda")


def gpus(*codecs):
    """GPUs of a job that runs codecs: 0 or 1."""
    return network_gpus() * any(codec_class(run.codecs[c].codec).uses_device for c in codecs)


def network_mb(files, megapixels=0.5, per_megapixel=WHOLE_MB, least=2000, per_weight=WEIGHTS_MB):
    """Memory of a job that runs networks, in MB.

    Args:
        files: of its weights; the callable's `input`, so that a file that another job has yet to
            make leaves the answer open until then.
        megapixels: of the largest image, in 10^6 pixels.
        per_megapixel: MB that 10^6 pixels take.
        least: MB that are asked for in any case.
        per_weight: MB that a MB of weights takes.
    """
    weights = sum(os.path.getsize(path) for path in files) / 1e6
    return round(max(least, PROCESSES_MB + per_weight * weights + per_megapixel * megapixels))


def training_mb(files, least=4000):
    """Memory of a training, in MB; of all inputs the files of weights count, as `network_mb` says."""
    weights = [path for path in files if str(path).endswith((".safetensors", ".pth", ".pt"))]
    return network_mb(weights, 0, least=least, per_weight=TRAINING_MB)


def largest_image(*datasets):
    """10^6 pixels of the largest image of data sets, as far as planned."""
    return max((run.datasets[name].megapixels.largest for name in datasets), default=0.5)


def coding_mb(model, datasets, codecs, least=2000):
    """Memory of a job that codes images of data sets with codec entries, in MB; see `network_mb`."""
    whole = any(run.codecs[codec].codec == icmh.NAME for codec in codecs)
    share = WHOLE_MB if whole else TILED_MB
    return network_mb(model, largest_image(*datasets), share, least)
