"""Feature distance: how far the maps of an image classifier move, stage by stage.

The network is EfficientNet-Lite0 with its published weights. Nothing in the distance is fitted to
judgements of people, so it is none of the distances that are: it says how much of a classifier's
features changes, not how visible that is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from icmbench.classifier.efficientnet_lite import EfficientNetLite0, load_lite0
from icmbench.core.errors import MeasurementError, ModelError
from icmbench.metrics.picture import Picture

MEAN: Final = 127.0  # of all channels, values 0 to 255
STD: Final = 128.0

Score = Callable[[Picture, Picture], float]


def load_feature_distance(weights: Path | None, device: str) -> Score:
    """The mean of `stage_distances` over the five stages.

    `weights` is not used: the file is an installed package's. Raises MeasurementError where the
    package or its model is missing, or another file.
    """
    try:
        network = load_lite0().to(device)
    except ModelError as error:
        raise MeasurementError(str(error)) from error

    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on a CPU

    def score(original: Picture, reconstruction: Picture) -> float:
        distances = stage_distances(network, original, reconstruction)
        return sum(distances) / len(distances)

    return score


def stage_distances(
    network: EfficientNetLite0, original: Picture, reconstruction: Picture
) -> list[float]:
    """Distances of the maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of the resolution, 0 to 2 each.

    A distance is the mean over all places of 1 - cosine of the two vectors of channels, which is
    half the squared difference of the vectors scaled to length 1. The images are neither resized
    nor cut.
    """
    maps = [
        picture.once("feature_distance", partial(_unit_maps, network, picture))
        for picture in (original, reconstruction)
    ]
    return [
        float(((one - other) ** 2).sum(dim=1, dtype=torch.float64).mean() / 2)
        for one, other in zip(*maps, strict=True)
    ]


def _unit_maps(network: EfficientNetLite0, picture: Picture) -> list[Tensor]:
    """The maps of an image, vectors of channels of length 1; one of zeros stays zero."""
    values = ((picture.tensor - MEAN) / STD).contiguous(memory_format=torch.channels_last)
    return [torch.nn.functional.normalize(each, dim=1) for each in network.stages(values)]
