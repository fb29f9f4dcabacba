"""Numbers of MPD's framework, stage by stage, for one image: latent, palette, reverse, image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from icmbench.codecs.mpd.inspect import layers
from icmbench.codecs.mpd.mpd_model import MPDModel
from icmbench.codecs.mpd.networks.reverse import reverse
from icmbench.metrics.picture import Picture
from icmbench.metrics.pixel import psnr_rgb
from icmbench.models.latent import SCALE

COLUMNS = (
    "dataset", "image", "stage", "state", "entries", "bytes", "bpp", "latent_mse", "psnr_rgb",
)  # fmt: skip


def framework_rows(
    model: MPDModel, image: NDArray[np.uint8], stream: bytes
) -> Iterator[dict[str, Any]]:
    """Rows of `COLUMNS` without the first two.

    Stage `latent`: the image of the uncoded latent, the best that any state can give. Stages
    `palette` and `reverse`: every state before and after the network R, in one step. Latent error
    in squared standard deviations, PSNR of the 8-bit image in dB.

    Raises as `icmbench.codecs.mpd.inspect.layers` does.
    """
    latent = model.latent(image)
    goal = latent.astype(np.float32) / np.float32(SCALE)
    size = image.shape[0], image.shape[1]
    original = Picture(image)

    def measured(values: NDArray[np.float32]) -> dict[str, Any]:
        shown = model.autoencoder.image(values, size)
        error = float(np.mean((values.astype(np.float64) - goal) ** 2))
        return {"latent_mse": error, "psnr_rgb": psnr_rgb(original, Picture(shown))}

    yield {"stage": "latent", **measured(goal)}
    for layer in layers(model, stream):
        where = {"state": layer.state, "entries": len(layer.shown.palette), "bytes": layer.bytes}
        where["bpp"] = 8 * layer.bytes / (size[0] * size[1])
        for stage, decoder in (("palette", "mean"), ("reverse", "regression")):
            values = reverse(model.network, layer.shown, decoder, model.noise, 0, model.device)
            yield {"stage": stage, **where, **measured(values)}
