"""`clip-segmentation`: open-vocabulary semantic segmentation by CLIP's own features.

MaskCLIP without its training (Zhou et al. 2022, *Extract Free Dense Labels from CLIP*, 3.2):
the last attention is replaced by its value projection at every patch, and the names of the classes
are the classifier. Its key smoothing, prompt denoising and 85 prompts are not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import ConfigError, TaskError
from icmbench.datasets.options import Option
from icmbench.tasks.backends.clip import Clip, clip_files, resize_bicubic
from icmbench.tasks.base import SEMANTIC, Image, Labels, SemanticMap, Task

PLACE: Final = "{}"  # in a template: the name of a class


class ClipSegmenter(Task):
    """A class per pixel by the similarity of a patch's features to the names of the classes.

    The whole image is resized; scores of patches are interpolated bilinearly to its pixels.
    """

    kind = "clip-segmentation"
    produces = SEMANTIC
    packages = ("transformers", "torch")
    options = {
        "model": Option(
            str, required=True, help="folder of transformers' CLIP, or the name of a source"
        ),
        "size": Option(
            int, default=448, low=16, help="shorter side of the network's input, in pixels"
        ),
        "templates": Option(
            list,
            default=["a photo of a {}."],
            help="texts with {} for a class; their vectors are averaged",
        ),
    }

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        super().__init__(name, entry)
        for text in self.values["templates"]:
            if not isinstance(text, str) or text.count(PLACE) != 1:
                raise ConfigError(f"task {name!r}: templates: {text!r} has not one {PLACE}")
        if not self.values["templates"]:
            raise ConfigError(f"task {name!r}: templates: none is given")
        self._clip: Clip | None = None
        self._classifier: Any = None

    @property
    def model(self) -> str:
        """The folder's name, and how it is read out."""
        return f"{self._folder().name}, value read-out as MaskCLIP"

    def files(self) -> list[Path]:
        """All files of the folder that are read."""
        return clip_files(self._folder())

    def _folder(self) -> Path:
        return Path(self.values["model"]).expanduser()

    def load(self, labels: Labels, device: str) -> None:
        """Read the network and embed the names of the classes.

        Raises ModelError as `Clip`, TaskError for a data set without semantic classes.
        """
        import torch

        if not labels.classes:
            raise TaskError(
                f"data set {labels.dataset!r} has no semantic maps; {self.name!r} labels pixels"
            )
        clip = Clip(self._folder(), device)
        vectors = [
            clip.texts([template.replace(PLACE, name) for name in labels.classes])
            for template in self.values["templates"]
        ]
        mean = torch.from_numpy(sum(vectors[1:], vectors[0])).to(device)
        self._classifier = mean / mean.norm(dim=1, keepdim=True)
        self._clip = clip

    def predict(self, image: Image, given: Sequence[Any]) -> SemanticMap:
        """The class of every pixel of an image uint8 (H, W, 3)."""
        import numpy as np
        import torch

        assert self._clip is not None
        height, width = image.shape[:2]
        patch = self._clip.patch
        scale = self.values["size"] / min(height, width) / patch
        high, wide = (max(1, round(side * scale)) * patch for side in (height, width))
        pixels = self._clip.tensor(resize_bicubic(image, high, wide))
        with torch.inference_mode():
            features = self._clip.patches(pixels)
            scores = torch.einsum("cd,ndhw->nchw", self._classifier, features)
            scores = torch.nn.functional.interpolate(
                scores, (height, width), mode="bilinear", align_corners=False
            )
            found: SemanticMap = scores[0].argmax(dim=0).cpu().numpy().astype(np.uint8)
        return found
