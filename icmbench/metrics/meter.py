"""Measuring a reconstruction: all chosen metrics of one pair of images."""

from __future__ import annotations

import contextlib
import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from icmbench.core.devices import use_device
from icmbench.core.errors import MeasurementError
from icmbench.metrics.picture import Picture
from icmbench.metrics.registry import METRICS, metric_module

Score = Callable[[Picture, Picture], float]

PIXEL = "pixel"  # the module that works without torch


class Meter:
    """Computes the metrics `names` of image pairs; networks are loaded once, when constructed.

    The features of the last original are kept: measure all reconstructions of one image in a row.
    Learned metrics run on the device, the others on the CPU, where their values depend on the two
    images alone: each call runs on one torch thread with deterministic algorithms and puts torch's
    settings back afterwards.
    """

    def __init__(
        self, names: Sequence[str], weights: Path | None = None, device: str = "cpu"
    ) -> None:
        """`weights` is the folder looked into before torch's cache; `device`: cpu, cuda or auto.

        Raises MeasurementError for an unknown name and for a network file that is missing,
        damaged or of other shapes, ConfigError for cuda where there is none.
        """
        self.names = list(names)
        learned = {name for name in names if name in METRICS and METRICS[name].uses_device}
        device = use_device(device) if learned else "cpu"
        self._devices = {name: device if name in learned else "cpu" for name in self.names}
        self._scores = {name: _score(name, weights, device) for name in self.names}
        self._originals: dict[str, Picture] = {}

    def __call__(self, original: np.ndarray, reconstruction: np.ndarray) -> dict[str, float]:
        """Values by metric name, in the order of `names`.

        Both images are uint8 (height, width, 3) sRGB of one size, else MeasurementError. An image
        with a side below a metric's `min_side` has the value nan, and so has FSIM of two flat
        images that differ; equal images have PSNR inf.
        """
        if original.shape != reconstruction.shape:
            raise MeasurementError(
                f"the original has shape {original.shape}, the reconstruction "
                f"{reconstruction.shape}: metrics compare images of one size"
            )
        ours = self._remembered(original)
        theirs = {device: Picture(reconstruction, device) for device in ours}
        found: dict[str, float] = {}
        plain = all(METRICS[name].module == PIXEL for name in self.names)
        with contextlib.nullcontext() if plain else _settled_torch():
            for name, score in self._scores.items():
                one, other = (pictures[self._devices[name]] for pictures in (ours, theirs))
                small = one.min_side < METRICS[name].min_side
                found[name] = math.nan if small else score(one, other)
        return found

    def _remembered(self, original: np.ndarray) -> dict[str, Picture]:
        """The original by device."""
        kept = next(iter(self._originals.values()), None)
        if kept is None or not (
            original.dtype == np.uint8 and np.array_equal(kept.pixels, original)
        ):
            devices = {"cpu", *self._devices.values()}
            self._originals = {device: Picture(original, device) for device in devices}
        return self._originals


def _score(name: str, weights: Path | None, device: str) -> Score:
    module = importlib.import_module(metric_module(name))
    if METRICS[name].needs_weights:
        return cast(Score, getattr(module, f"load_{name}")(weights, device))
    return cast(Score, getattr(module, name))


@contextlib.contextmanager
def _settled_torch() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    before = torch.get_deterministic_debug_mode()
    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode("error")
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_deterministic_debug_mode(before)
        torch.set_num_threads(threads)
