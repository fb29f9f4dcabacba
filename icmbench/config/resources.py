"""GPUs, memory and disk space that jobs request, from the sizes of images and weight files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from icmbench.codecs.diff_icmh.model_folder import NAME as DIFF_ICMH
from icmbench.codecs.registry import codec_class
from icmbench.codecs.zoo.published import NAMES as ZOO
from icmbench.core.devices import has_nvidia
from icmbench.evaluation.units import entry_on
from icmbench.models.footprint import feature_maps_mb

# Megabytes of a job with networks: of its two processes, torch in one of them; per MB of weights
# (the networks, and the largest file while it is read); per 10^6 pixels of an image. A codec that
# works in tiles takes little for a larger image, diffusion of a whole latent much.
PROCESSES_MB: Final = 1500
WEIGHTS_MB: Final = 2
# Of a training: float32 weights, gradients and two moments are 8 times a file in float16.
TRAINING_MB: Final = 10
UNCACHED_MB: Final = 3000  # of a training in any case, besides the images that it keeps
# Memory of a process on the CPU per byte of feature maps that live at once: freed memory is kept.
# Measured with the decoder of Stable Diffusion at 320 x 320: 1.24, with `keep_freed_memory` 1.53.
MAPS_SHARE: Final = 1.6
TRAINED_MEGAPIXELS: Final = 1.05  # of a training image that a published autoencoder encodes
TILED_MB: Final = 80
WHOLE_MB: Final = 1500
METRICS_MB: Final = 1500
# Bytes per pixel of reconstructions: a compressed PNG of a photograph takes 1.6 (`identity`).
PNG_BYTES: Final = 1.8
STORED_PNG_BYTES: Final = 3.1
STORED_MEGAPIXELS: Final = 100  # of a shard, at most
_WEIGHTS: Final = (".safetensors", ".pth", ".pt")


def network_mb(
    files: Iterable[str | Path],
    megapixels: float = 0.5,
    per_megapixel: float = WHOLE_MB,
    at_least: float = 2000,
    per_weight: float = WEIGHTS_MB,
) -> int:
    """Memory of a job that runs networks, in MB.

    Args:
        files: of its weights; the callable's `input`, so that a file that another job has yet to
            make leaves the answer open until then.
        megapixels: of the largest image, in 10^6 pixels.
        per_megapixel: MB that 10^6 pixels take.
        at_least: MB that are asked for in any case.
        per_weight: MB that a MB of weights takes.
    """
    weights = sum(os.path.getsize(path) for path in files) / 1e6
    return round(max(at_least, PROCESSES_MB + per_weight * weights + per_megapixel * megapixels))


def training_mb(files: Iterable[str | Path], cache_mb: float = 0) -> int:
    """Memory of a training, in MB; of all inputs the files of weights count; see `network_mb`.

    `cache_mb`: MB of decoded training images that it keeps.
    """
    weights = [path for path in files if str(path).endswith(_WEIGHTS)]
    least = network_mb(weights, 0, at_least=UNCACHED_MB, per_weight=TRAINING_MB)
    return least + round(cache_mb + MAPS_SHARE * feature_maps_mb(weights, TRAINED_MEGAPIXELS))


class Demand:
    """Resources that the jobs of a run request.

    Args:
        run: of `config.run` or `transfer.packed`; its `config` and `families`, and the `datasets`
            where sizes of images are asked for.
        cluster: jobs are sent to a cluster.

    Attributes:
        network_gpus: GPUs of a job that runs networks, 0 or 1. None where the configuration says
            cpu; with auto, one on a cluster, or where this machine has one.
    """

    def __init__(self, run: Any, cluster: bool) -> None:
        self._run = run
        device = run.config["device"]
        auto = device == "auto" and (cluster or has_nvidia())
        self.network_gpus = int(device == "cuda" or auto)

    def gpus(self, *codecs: str) -> int:
        """GPUs of a job that runs codec entries: 0 or 1."""
        classes = (codec_class(self._run.codecs[name].codec) for name in codecs)
        return self.network_gpus * any(found.uses_device for found in classes)

    def task_gpus(self, tasks: Iterable[str]) -> int:
        """GPUs of a job that runs task models: 0 or 1."""
        return self.network_gpus * any(self._run.tasks[name].uses_device for name in tasks)

    def largest_image(self, *datasets: str) -> float:
        """10^6 pixels of the largest image of data sets, as far as planned."""
        sizes = (self._run.datasets[name].megapixels.largest for name in datasets)
        return max(sizes, default=0.5)

    def coding_mb(
        self,
        model: Iterable[str | Path],
        datasets: Iterable[str],
        codecs: Iterable[str],
        at_least: float = 2000,
    ) -> int:
        """Memory of a job that codes images of data sets with codec entries, in MB.

        Published networks state their sizes in their files. Their feature maps lie on the GPU of a
        job that has one.
        """
        files, entries = list(model), [self._run.codecs[name] for name in codecs]
        whole = any(entry.codec in (DIFF_ICMH, *ZOO) for entry in entries)
        largest = self.largest_image(*datasets)
        own = network_mb(files, largest, WHOLE_MB if whole else TILED_MB, at_least)
        limits = [(codec_class(e.codec).definition or {}).get("memory_mb", 0) for e in entries]
        own += max(limits, default=0)  # of programs beside the job's own processes
        if self.gpus(*codecs):
            return own
        batches = [dict(point.decode).get("batch", 1) for e in entries for point in e.points]
        maps = MAPS_SHARE * feature_maps_mb(files, largest, max(batches, default=1))
        return max(own, network_mb(files, 1, maps, at_least))

    def reconstructions_mb(self, dataset: str, codec: str, images: int) -> int:
        """Disk space of the reconstructions of some images, estimated, in MB."""
        size = PNG_BYTES if self.compresses(dataset, codec, images) else STORED_PNG_BYTES
        return max(10, round(size * self._megapixels(dataset, codec, images)))

    def compresses(self, dataset: str, codec: str, images: int) -> bool:
        """True if the reconstructions of a shard are compressed: kept ones, those of large shards.

        Compression takes longer than most decoders; of temporary files it saves space only.
        """
        large = self._megapixels(dataset, codec, images) > STORED_MEGAPIXELS
        return self._run.config["keep_reconstructions"] or large

    def _megapixels(self, dataset: str, codec: str, images: int) -> float:
        mean: float = self._run.datasets[dataset].megapixels.mean
        entry = entry_on(self._run.config, dataset, self._run.codecs[codec])
        return mean * images * len(entry.points)
