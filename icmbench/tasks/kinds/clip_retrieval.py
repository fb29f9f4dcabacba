"""`clip-retrieval`: image-text retrieval by CLIP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icmbench.datasets.options import Option
from icmbench.tasks.backends.clip import Clip, clip_files
from icmbench.tasks.base import Image, Labels, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from icmbench.tasks.answers.embeddings import Embeddings


class ClipRetrieval(Task):
    """Embeddings of images and of their captions.

    Captions are embedded once a job: they do not depend on the codec.
    """

    kind = "clip-retrieval"
    produces = "embeddings"  # of a module with numpy
    packages = ("transformers", "torch")
    options = {
        "model": Option(
            str, required=True, help="folder of transformers' CLIP, or the name of a source"
        ),
    }

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        super().__init__(name, entry)
        self._clip: Clip | None = None
        self._texts: dict[str, NDArray[np.float32]] = {}

    @property
    def model(self) -> str:
        """The folder's name."""
        return self._folder().name

    def files(self) -> list[Path]:
        """All files of the folder that are read."""
        return clip_files(self._folder())

    def _folder(self) -> Path:
        return Path(self.values["model"]).expanduser()

    def load(self, labels: Labels, device: str) -> None:
        """Read the network; ModelError as `Clip`."""
        self._clip = Clip(self._folder(), device)

    def predict(self, image: Image, given: Sequence[Any]) -> Embeddings:
        """The embeddings of an image and of the captions `given`."""
        import numpy as np

        assert self._clip is not None
        if new := [text for text in dict.fromkeys(given) if text not in self._texts]:
            self._texts.update(zip(new, self._clip.texts(new), strict=True))
        vector = self._clip.image(image)
        captions = [self._texts[text] for text in given]
        from icmbench.tasks.answers.embeddings import Embeddings

        return Embeddings(vector, np.reshape(captions, (-1, len(vector))).astype(np.float32))
