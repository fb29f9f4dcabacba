"""`latent-segmentation`: semantic segmentation of the decoded latent, without an image decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from icmbench.codecs.base import Latent
from icmbench.core.errors import TaskError
from icmbench.tasks.base import SEMANTIC, Labels, SemanticMap
from icmbench.tasks.latents import LatentTask


class LatentSegmentation(LatentTask):
    """The class of every pixel from z_hat, by a small convolutional head trained in the run."""

    kind = "latent-segmentation"
    produces = SEMANTIC
    packages = ("torch",)

    def __init__(self, name: str, entry: Any) -> None:
        super().__init__(name, entry)
        self._indices: list[int] = []
        self._channels = 0
        self._head: Any = None

    @property
    def model(self) -> str:
        """The kind of the head."""
        return "convolutional head on z_hat"

    def files(self) -> list[Path]:
        """The head's weights."""
        return [Path(self.values["checkpoint"]).expanduser()]

    def load(self, labels: Labels, device: str) -> None:
        """Read the head; TaskError where its classes and those of the data set differ."""
        from icmbench.models.tensors import load_built
        from icmbench.tasks.backends.latent_head import HeadSettings, build_head

        head, settings, _ = load_built(self.files()[0], HeadSettings, build_head)
        self._indices = labels.class_indices(settings.classes, f"task {self.name!r}")
        self._channels = settings.latent
        self._head = head.to(device)

    def predict_latent(self, latent: Latent) -> SemanticMap:
        """The class of every pixel of the image that a latent is of."""
        import torch

        from icmbench.tasks.kinds.onnx_segmenter import label_pixels

        height, width = latent.size
        expected = (-(-height // 8), -(-width // 8), self._channels)
        if latent.values.shape != expected:
            raise TaskError(
                f"the latent is {latent.values.shape}, expected {expected}: the head takes no "
                "latents of folded images or of another autoencoder"
            )
        values = torch.from_numpy(latent.values).permute(2, 0, 1)[None].to(self.device)
        with torch.inference_mode():
            scores = self._head(values)
            large = torch.nn.functional.interpolate(
                scores, (8 * expected[0], 8 * expected[1]), mode="bilinear", align_corners=False
            )
        cropped = large[:, :, :height, :width].cpu().numpy()
        return label_pixels(cropped, self._indices, height, width)
