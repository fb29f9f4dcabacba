"""`espnet`: semantic segmentation by ESPNet, with the weights that its authors publish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import TaskError
from icmbench.core.files import check_weight_file
from icmbench.datasets.options import Option
from icmbench.tasks.backends.network_input import PIXELS, check_pixels, to_tensor
from icmbench.tasks.backends.openmm_weights import fill, read_weights
from icmbench.tasks.base import SEMANTIC, Image, Labels, SemanticMap, Task
from icmbench.tasks.kinds.onnx_segmenter import check_names, label_pixels

# What the authors' weights for CamVid were trained with; mean and std are their training set's.
CAMVID: Final[Mapping[str, Any]] = {
    "channels": "bgr",
    "mean": [110.33, 108.41, 105.03],
    "std": [72.1, 72.7, 69.9],
    "scale": 255.0,
}


class EspNetSegmenter(Task):
    """ESPNet with its decoder (Mehta et al. 2018), on images of any size.

    Where a side is no multiple of 8, the last row or column is repeated; what was found there is
    cut off again.
    """

    kind = "espnet"
    produces = SEMANTIC
    packages = ("torch",)
    options = {
        "checkpoint": Option(
            str, required=True, help="state dictionary, as the authors publish it"
        ),
        "sha256": Option(str, help="of the file; another one is refused"),
        "classes": Option(list, required=True, help="names, in the order of the scores"),
        **{key: replace(option, default=CAMVID[key]) for key, option in PIXELS.items()},
    }

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        super().__init__(name, entry)
        check_pixels(f"task {name!r}", self.values)
        check_names(name, self.values["classes"])
        self._network: Any = None
        self._indices: list[int] = []
        self._device = "cpu"

    @property
    def model(self) -> str:
        """The network's name."""
        return "ESPNet"

    def files(self) -> list[Path]:
        """The weights."""
        return [self._path()]

    def _path(self) -> Path:
        return Path(self.values["checkpoint"]).expanduser()

    def load(self, labels: Labels, device: str) -> None:
        """Build the network that the file is of, and read its weights.

        Raises TaskError where it knows other classes than the data set or than `classes` lists,
        ModelError where the file is missing, damaged, of another network or of another sha256.
        """
        from icmbench.tasks.backends.espnet_network import build_espnet

        path = self._path()
        self._indices = labels.class_indices(self.values["classes"], f"task {self.name!r}")
        check_weight_file(path, self.values["sha256"])
        state = read_weights(path, None).state
        scores = state.get("classifier.weight")
        if scores is not None and scores.shape[1] != len(self.values["classes"]):
            raise TaskError(
                f"{path}: the network tells {scores.shape[1]} classes, `classes` lists "
                f"{len(self.values['classes'])}"
            )
        network = build_espnet(state, len(self.values["classes"]))
        fill(network, state, path)
        self._network, self._device = network.to(device).eval(), device

    def predict(self, image: Image, given: Sequence[Any]) -> SemanticMap:
        """The class of every pixel of an image uint8 (H, W, 3)."""
        import numpy as np
        import torch

        from icmbench.tasks.backends.espnet_network import SHRINK

        height, width = image.shape[:2]
        rest = ((0, -height % SHRINK), (0, -width % SHRINK), (0, 0))
        pixels = to_tensor(np.pad(image, rest, mode="edge"), self.values)
        with torch.inference_mode():
            scores = self._network(torch.from_numpy(pixels).to(self._device)).cpu().numpy()
        return label_pixels(scores[:, :, :height, :width], self._indices, height, width)
