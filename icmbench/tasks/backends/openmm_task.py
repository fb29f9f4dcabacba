"""Tasks with a model of mmdet or mmseg: options, network, weights."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import icmbench
from icmbench.core.errors import ConfigError, ModelError, TaskError
from icmbench.datasets.options import Option
from icmbench.tasks.adaptation import ADAPT, adaptation, is_adapted
from icmbench.tasks.adaptation import OPTIONS as ADAPTATION
from icmbench.tasks.backends.openmm import (
    build_network,
    count_classes,
    dataset_classes,
    find_config,
    fold_norms,
    import_library,
    make_pipeline,
    published_weights,
    read_config,
    thicken,
)
from icmbench.tasks.backends.openmm_weights import Weights, fill, read_weights
from icmbench.tasks.base import Image, Labels, Task
from icmbench.tasks.bundled import BUNDLED, is_bundled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER: Final = Path(icmbench.__file__).parent / "weights" / "tasks"
RANDOM: Final = "random"

OPTIONS: Final[Mapping[str, Option]] = {
    "config": Option(
        str,
        help="the model's configuration: its name in the library, or a file `*.py`; not needed for "
        "bundled and *.safetensors weights, which name it",
    ),
    "checkpoint": Option(
        str,
        default=BUNDLED,
        help="weight file, `bundled`, `zoo` (the published file, brought by `icmbench fetch "
        "mmdet/CONFIG`), or `random` (untrained, to try a configuration)",
    ),
    "sha256": Option(
        str, help="of the weight file; required for a checkpoint that needs Python objects"
    ),
    "classes": Option(list, help="names of the model's classes, where its weight file has none"),
    "overrides": Option(
        dict,
        default={},
        help="changed keys of the configuration, as model.test_cfg.max_per_img: 50",
    ),
    "scale": Option(int, low=32, help="longer side in pixels that images are resized to"),
    ADAPT: Option(
        dict,
        help="fine-tune the bundled model on a codec's reconstructions of training scenes: "
        f"{', '.join(ADAPTATION)}",
    ),
}


class OpenMMTask(Task):
    """Base of `mmdet` and `mmseg`; a subclass maps classes and reads the network's output.

    Attributes:
        operators: library of the compiled operators, "mmcv" or "torchvision"; "" before `load`.
    """

    package: ClassVar[str]
    bundled: ClassVar[Path]
    bundled_model: ClassVar[str]
    options = OPTIONS
    _numbers: NDArray[np.int64]  # per class of the model its number in the data set, once loaded

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        super().__init__(name, entry)
        self._adapted = adaptation(name, self.values[ADAPT])
        given = str(self.values["checkpoint"])
        if self._adapted and given != BUNDLED and not is_adapted(given):
            raise ConfigError(
                f"task {name!r}: {ADAPT} fine-tunes the bundled model: leave out checkpoint={given}"
            )
        self._path = self._find_checkpoint()
        self._ours = self._path is not None and self._path.suffix == ".safetensors"
        if self.values["config"] is None and not self._ours:
            raise ConfigError(f"task {name!r} needs the option 'config': {OPTIONS['config'].help}")
        self.operators = ""
        self._network: Any = None
        self._pipeline: Any = None

    def _find_checkpoint(self) -> Path | None:
        """The weight file; None: random weights."""
        value = str(self.values["checkpoint"])
        if value == RANDOM:
            return None
        return self.bundled if value == BUNDLED else Path(value).expanduser()

    @property
    def model(self) -> str:
        """Name of the model: that of its configuration, or of the bundled, narrower network.

        Of an adapted model it says to what.
        """
        if self._adapted:
            return f"{self.bundled_model}, {self._adapted.text}"
        if is_bundled(str(self.values["checkpoint"]), self.bundled.stem):
            return self.bundled_model
        return Path(str(self.values["config"] or self._path)).name.removesuffix(".py")

    def files(self) -> list[Path]:
        """The weight file, and the configuration where it is a file."""
        config = str(self.values["config"] or "")
        own = [Path(config).expanduser()] if config.endswith(".py") else []
        return own if self._path is None else [self._path, *own]

    def load(self, labels: Labels, device: str) -> None:
        """Build the network, load its weights, and match its classes with the data set's.

        Raises ModelError for weights as in `read_weights` and `fill`, TaskError where the
        configuration is unknown, needs a missing operator, or has other classes.
        """
        import numpy as np
        import torch

        self.operators = import_library(self.package)
        weights = Weights({}) if self._path is None else self._read(self._path)
        name, overrides, scale = self._description(weights)
        config = read_config(self.package, name, {**overrides, **self.values["overrides"]})
        try:
            network = build_network(self.package, config)
        except TaskError as error:
            raise TaskError(f"{name}: {error}") from error
        if self._path is not None:
            fill(network, weights.state, self._path)
        known = self._known(weights, config, network)
        self._numbers = np.array(self._match(labels, known), np.int64)
        self._pipeline = make_pipeline(self.package, config, scale)
        network.eval()
        if self._ours:  # published models keep their exact arithmetic: their scores are compared
            fold_norms(network)
        # On a CPU, channels last saves a fifth to half of the seconds of convolutions.
        self._network = network.to(device, memory_format=torch.channels_last)

    def _read(self, path: Path) -> Weights:
        """Read the weights; the error for a missing file names the address of its publication."""
        config = self.values["config"]
        if config and not path.is_file():
            address = published_weights(self.package, config)
            remedy = f"; `icmbench fetch {self.package}/{config}` fetches what is published as "
            raise ModelError(f"{path}: no such file{remedy + address if address else ''}")
        return read_weights(path, self.values["sha256"])

    def _description(self, weights: Weights) -> tuple[str, Mapping[str, Any], int | None]:
        """Configuration, overrides and scale: from our own weight file, else from the options."""
        scale = self.values["scale"]
        if not self._ours:
            return self.values["config"], {}, scale
        own = weights.metadata
        if own.get("package") != self.package:
            raise ModelError(f"{self._path}: holds no network of {self.package}")
        if self.values["config"] not in (None, own["config"]):
            raise ModelError(f"{self._path}: is of {own['config']}, not {self.values['config']}")
        return own["config"], own["overrides"], own["scale"] if scale is None else scale

    def _known(self, weights: Weights, config: Any, network: Any) -> tuple[str, ...]:
        """Class names of the network: from its weight file, the options, or its training set."""
        given = tuple(self.values["classes"] or ())
        if given and weights.classes and given != weights.classes:
            raise TaskError(f"{self._path} names its classes itself, and others than the option")
        known = weights.classes or given or dataset_classes(self.package, config)
        count = count_classes(network)
        if not known or count not in (None, len(known)):
            raise TaskError(
                f"{self.model} tells {count} classes apart, and {len(known)} are named: "
                "name them with the option `classes`"
            )
        return known

    @abstractmethod
    def _match(self, labels: Labels, known: Sequence[str]) -> list[int]:
        """Index in the data set of every class of the model."""

    def _answer(self, image: Image) -> Any:
        """Predict one image uint8 (H, W, 3), sRGB; returns the network's data sample.

        Very thin images are padded (see `thicken`): the prediction then covers the padding, too.
        """
        import numpy as np
        import torch

        image = thicken(self._pipeline, image)
        data = self._pipeline({"img": np.ascontiguousarray(image[:, :, ::-1]), "img_id": 0})
        batch = {"inputs": [data["inputs"]], "data_samples": [data["data_samples"]]}
        try:
            with torch.inference_mode():
                return self._infer(batch)
        except TaskError as error:  # a missing operator that is called as a function
            raise TaskError(f"{self.model}: {error}") from error

    def _infer(self, batch: dict[str, Any]) -> Any:
        """The network's data sample for a batch of one image."""
        return self._network.test_step(batch)[0]


def describe_network(
    package: str, config: str, overrides: Mapping[str, Any], classes: Sequence[str], scale: int
) -> dict[str, Any]:
    """Metadata of a weight file from which `OpenMMTask` builds its network; JSON types only."""
    find_config(package, config)
    return {
        "package": package,
        "config": config,
        "overrides": json.loads(json.dumps(dict(overrides))),
        "classes": list(classes),
        "scale": scale,
    }
