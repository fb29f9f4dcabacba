# Which jobs ask for a GPU; of `run` and of this machine.

import functools
import os
import shutil

from icmbench.codecs.registry import codec_class


@functools.cache
def network_gpus():
    """GPUs of a job that runs networks: 0 or 1.

    None where the configuration says cpu. With auto, one where there can be one: on this machine,
    or on the nodes of a cluster that jobs can be sent to from here.
    """
    if run.config["device"] == "auto":
        return int(os.path.exists("/dev/nvidiactl") or shutil.which("sbatch") is not None)
    return int(run.config["device"] == "cuda")


def gpus(*codecs):
    """GPUs of a job that runs codecs: 0 or 1."""
    return network_gpus() * any(codec_class(run.families[c].codec).uses_device for c in codecs)
