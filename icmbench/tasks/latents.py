"""Tasks on the decoded latent of a codec instead of its reconstruction (MPD, figure 1).

The server that runs a task then needs no image decoder: the decoder of a file stops at the latent
z_hat, and a head predicts from it. Nothing but the file decides a prediction.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from icmbench.codecs.base import Latent
from icmbench.core.errors import ConfigError, TaskError
from icmbench.datasets.options import Option
from icmbench.tasks.base import Image, Prediction, Task

LATENT_HEAD: Final = "latent_head"  # key of `training.tasks`, and name of the weight file
TRAINED: Final = "trained"  # as `checkpoint`: the head that the run trains


class LatentTask(Task):
    """A head that predicts from decoded latents. Subclasses add `predict_latent`."""

    options: ClassVar[Mapping[str, Option]] = {
        "codecs": Option(list, required=True, help="codec entries whose latents it takes"),
        "against": Option(
            str, required=True, help="the task on reconstructions that it is compared with"
        ),
        "checkpoint": Option(
            str, default=TRAINED, help="a weight file; trained: the run trains it"
        ),
    }

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        super().__init__(name, entry)
        codecs = self.values["codecs"]
        if not codecs or not all(isinstance(one, str) for one in codecs):
            raise ConfigError(f"task {name!r}: codecs={codecs!r} is no list of codec entries")

    @abstractmethod
    def predict_latent(self, latent: Latent) -> Prediction:
        """Predict from the latent of one file; TaskError where it is of another form."""

    def predict(self, image: Image, given: Sequence[Any]) -> Prediction:
        """Raise TaskError: there is nothing to predict from an image."""
        raise TaskError(f"task {self.name!r} takes a decoded latent, not an image")
