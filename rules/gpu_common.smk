# Which jobs ask for a GPU; of `run` and of this machine.

import functools

from icmbench.codecs.registry import codec_class
from icmbench.devices import has_nvidia


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
    return network_gpus() * any(codec_class(run.families[c].codec).uses_device for c in codecs)
