"""`classification`: class scores and features of photographs, by EfficientNet-Lite0 and others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icmbench.classifier.lite0_weights import PACKAGE, lite0_lacks
from icmbench.core.errors import ConfigError, ModelError, TaskError
from icmbench.core.versions import runs_jobs
from icmbench.datasets.options import Option
from icmbench.tasks.backends.classifier import (
    LIBRARIES,
    LITE0,
    Classifier,
    imagenet_names,
    load_classifier,
)
from icmbench.tasks.backends.classifier_input import (
    RESAMPLING,
    ClassifierInput,
    centre_crop,
    grid_crops,
)
from icmbench.tasks.base import Image, Labels, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from icmbench.tasks.answers.class_scores import ClassScores

PUBLISHED = "; default: as published with the weights"


class Classification(Task):
    """A classifier of whole images: EfficientNet-Lite0, or a network of torchvision or timm.

    Agreement is with the answers on the originals, so that any data set serves.
    """

    kind = "classification"
    produces = "class_scores"  # of a module with numpy
    needs_annotations = False
    packages = ("torch", "torchvision", PACKAGE)
    options = {
        "network": Option(str, default=LITE0, help=f"{LITE0}, torchvision/<name>, or timm/<name>"),
        "weights": Option(
            str,
            help="file of the network's weights, or the name of a source; default of Lite0: those "
            f"of the package {PACKAGE}",
        ),
        "sha256": Option(str, help="of the file; another one is refused"),
        "classes": Option(
            list, help="names, in the order of the scores; default: ImageNet's 1000 classes"
        ),
        "size": Option(int, low=32, help=f"side of the network's input in pixels{PUBLISHED}"),
        "crop": Option(
            float,
            low=0.01,
            help=f"side of the square in the middle, in shorter sides of the image{PUBLISHED}",
        ),
        "resample": Option(
            str, help=f"how the square is resized: {', '.join(RESAMPLING)}{PUBLISHED}"
        ),
        "mean": Option(
            list, help=f"the input is (value - mean) / std, values 0-255, R, G, B{PUBLISHED}"
        ),
        "std": Option(list, help="see mean"),
        "crops": Option(
            list,
            default=[0, 0],
            help="rows and columns of further crops, of the network's side and the image's own "
            "resolution",
        ),
    }

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        super().__init__(name, entry)
        what, values = f"task {name!r}", self.values
        library, slash, network = values["network"].partition("/")
        if values["network"] != LITE0 and not (library in LIBRARIES and slash and network):
            raise ConfigError(
                f"{what}: network={values['network']!r} is none of {LITE0}, torchvision/<name>, "
                "timm/<name>"
            )
        if slash and not values["weights"]:
            raise ConfigError(f"{what}: network {values['network']} needs weights, a local file")
        if values["resample"] not in (None, *RESAMPLING):
            raise ConfigError(
                f"{what}: resample={values['resample']!r} is none of {', '.join(RESAMPLING)}"
            )
        if values["crop"] is not None and values["crop"] > 1:
            raise ConfigError(f"{what}: crop={values['crop']} is above 1, the image's shorter side")
        _check_numbers(what, values)
        self._classifier: Classifier | None = None
        self._input: ClassifierInput | None = None
        self._names: Sequence[str] = ()
        self._targets: list[int] = []

    @property
    def model(self) -> str:
        """The network's name, and the crops besides the one in the middle."""
        library, _, name = self.values["network"].partition("/")
        rows, columns = self.values["crops"]
        title = f"{name} of {library}" if name else "EfficientNet-Lite0"
        return f"{title}, {rows}x{columns} crops besides" if rows * columns else title

    def files(self) -> list[Path]:
        """The weights, where they are given; ModelError where the package with them is not there.

        The package's file is none of them: its digest is fixed.
        """
        if self.values["weights"]:
            return [Path(self.values["weights"]).expanduser()]
        if runs_jobs() and (lacks := lite0_lacks()):
            raise ModelError(lacks)
        return []

    def load(self, labels: Labels, device: str) -> None:
        """Read the network, and find the classes of the data set among its own.

        Raises TaskError for a class that the network lacks, for an unknown input, and as
        `load_classifier`, ModelError where a file is missing, damaged or of another network.
        """
        self._names = self.values["classes"] or imagenet_names()
        self._targets = labels.image_indices(self._names, f"task {self.name!r}")
        given = self.values["weights"]
        classifier = load_classifier(
            self.values["network"],
            Path(given).expanduser() if given else None,
            self.values["sha256"],
            len(self._names),
        )
        self._input = self._resolved(classifier.published)
        classifier.to(device)
        self._classifier = classifier

    def _resolved(self, published: ClassifierInput | None) -> ClassifierInput:
        """The published input with the options that are given."""
        keys = ("size", "crop", "resample", "mean", "std")
        given = {key: self.values[key] for key in keys if self.values[key] is not None}
        known = {} if published is None else asdict(published)
        if lacking := [key for key in keys if key not in given | known]:
            raise TaskError(
                f"task {self.name!r}: {self.values['weights']} is no file that "
                f"{self.values['network'].partition('/')[0]} publishes, so that its input is not "
                f"known: give {', '.join(lacking)}"
            )
        return ClassifierInput(**{**known, **given})

    def predict(self, image: Image, given: Sequence[Any]) -> ClassScores:
        """Scores and features of the square in the middle and of the further crops.

        Raises TaskError for an image that is too small.
        """
        import numpy as np
        import torch

        from icmbench.tasks.answers.class_scores import ClassScores, best_classes

        assert self._classifier is not None
        planes = torch.from_numpy(self._planes(image)).to(self.device)
        logits, features = self._classifier(planes)
        scores = torch.log_softmax(logits.double(), dim=1).float().cpu().numpy()
        return ClassScores(
            scores,
            features.float().cpu().numpy(),
            np.array(self._targets, np.int64),
            tuple(self._names[index] for index in best_classes(scores[0])),
        )

    def _planes(self, image: Image) -> NDArray[np.float32]:
        """Normalised crops, float32 (crops, 3, size, size)."""
        import numpy as np

        about = self._input
        assert about is not None
        first = centre_crop(image, about.size, about.crop, about.resample)
        crops: list[NDArray[Any]] = [first, *grid_crops(image, about.size, self.values["crops"])]
        mean, std = (np.array(numbers, np.float32) for numbers in (about.mean, about.std))
        values = (np.stack(crops).astype(np.float32) - mean) / std
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def _check_numbers(what: str, values: Mapping[str, Any]) -> None:
    """ConfigError where mean, std or crops are no numbers of the right kind."""
    for key in ("mean", "std"):
        numbers = values[key]
        if numbers is None:
            continue
        finite = [n for n in numbers if isinstance(n, int | float) and math.isfinite(n)]
        if len(finite) != 3 or len(numbers) != 3 or (key == "std" and 0 in finite):
            raise ConfigError(f"{what}: {key}={numbers!r} is not three numbers (std: none is 0)")
    crops = values["crops"]
    if (
        len(crops) != 2
        or not all(type(n) is int and n >= 0 for n in crops)
        or (0 in crops) != (crops == [0, 0])
    ):
        raise ConfigError(f"{what}: crops={crops!r} is not rows and columns, [0, 0] for none")
