"""A loaded training of a zoo codec: images to sections of a stream, and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.bitstream.folding import pad, unpad
from icmbench.codecs.zoo.model_folder import LAYOUTS, load_codec
from icmbench.codecs.zoo.networks import ScaleHyperprior
from icmbench.codecs.zoo.published import UNIT
from icmbench.codecs.zoo.stream import read_sections, write_sections
from icmbench.core.errors import CodecError
from icmbench.models.codec_model import LoadedModel

Image = NDArray[np.uint8]


class ZooModel(LoadedModel):
    """The transforms run on the device; what decides bits stays on the CPU."""

    def __init__(self, name: str, folder: Path, device: str) -> None:
        self.layout = LAYOUTS[name]
        super().__init__(folder, device)
        self.codec = load_codec(name, folder)
        network = self.codec.network
        self.to_device(network.g_a, network.g_s)
        if isinstance(network, ScaleHyperprior):
            self.to_device(network.h_a)

    def encode(self, image: Image) -> list[bytes]:
        """The payloads of the sections of an image."""
        with torch.inference_mode():
            return write_sections(self.codec, *self.latents(image))

    def latents(self, image: Image) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Y and z of an image, padded to whole units, not quantised."""
        padded = pad(image, UNIT).transpose(2, 0, 1)[None].astype(np.float32)
        pixels = torch.from_numpy(padded / np.float32(255)).to(self.device)
        return self.codec.network.analyse(pixels)

    def decode(self, sections: tuple[bytes, ...], size: tuple[int, int]) -> Image:
        """The image of `size` (height, width) of a stream's sections; errors as `read_sections`.

        Raises CodecError where the reconstruction holds a value that is not finite.
        """
        with torch.inference_mode():
            y_hat = read_sections(self.codec, sections, size)
            x_hat = self.codec.network.synthesise(y_hat.float().to(self.device)).cpu()
        if not torch.isfinite(x_hat).all():
            raise CodecError("the reconstruction is not finite")
        levels = (x_hat[0].clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
        return unpad(levels.astype(np.uint8), size, UNIT)
