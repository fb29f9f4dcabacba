"""`face-alignment`: 68 landmarks by FAN, through the package face-alignment.

The package cuts out the face, runs the network on the crop and on its mirror image, and decodes
the heat maps (Bulat and Tzimiropoulos 2017). Only the network comes from here: the package would
download the published one when it is built, and the bundled one has fewer channels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from icmbench.core.errors import ConfigError, ModelError, TaskError
from icmbench.core.files import check_weight_file
from icmbench.core.pickles import load_pickle
from icmbench.datasets.faces import SMALLEST
from icmbench.datasets.options import Option
from icmbench.tasks.base import LANDMARKS, Faces, Image, Labels, Task
from icmbench.tasks.bundled import BUNDLED, bundled_file, is_bundled

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

POINTS: Final = 68
SIDE: Final = 256  # side of FAN's input crop, in pixels
CELLS: Final = 64  # side of its heat maps
FEATURES: Final = 64  # channels of the bundled network's hourglass
RAISED: Final = 0.12  # offset of the crop's centre above the box's, in heights of the box
WIDER: Final = 200 / 195  # side of the crop, relative to width + height of the box
PUBLISHED: Final = "2DFAN-4"  # the package's own name
PUBLISHED_FILE: Final = "2DFAN4-11f355bf06.pth.tar"  # of the source face-alignment
MIRROR: Final = ("average", "none")


class FaceAlignment(Task):
    """A face alignment network (FAN): the bundled narrow one, the published 2DFAN-4, or a file.

    The package truncates landmarks to whole pixels; 0.5 is added to remove the bias. The truncation
    alone is a mean error of 0.38 pixels.
    """

    kind = "face-alignment"
    produces = LANDMARKS
    packages = ("face-alignment", "torch", "numba", "opencv-python-headless")
    options = {
        "checkpoint": Option(
            str,
            default=BUNDLED,
            help="`bundled`, a file, or `face-alignment`: the published 2DFAN-4, fetched",
        ),
        "sha256": Option(str, help="of the file; another one is refused"),
        "mirror": Option(
            str,
            default="average",
            help="`average`: heat maps of the crop and its mirror image, as the package's default; "
            "`none`: of the crop only, in half the time",
        ),
    }

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        super().__init__(name, entry)
        if self.values["mirror"] not in MIRROR:
            mirror = self.values["mirror"]
            raise ConfigError(f"task {name!r}: mirror={mirror!r} is none of {', '.join(MIRROR)}")
        self._aligner: Any = None

    @property
    def model(self) -> str:
        """`FAN`: the bundled one; `2DFAN-4`: the published one; or the file's name."""
        checkpoint = str(self.values["checkpoint"])
        if is_bundled(checkpoint, "landmarks"):
            return "FAN"
        return PUBLISHED if Path(checkpoint).name == PUBLISHED_FILE else Path(checkpoint).stem

    def files(self) -> list[Path]:
        """The weights."""
        return [self._path()]

    def _path(self) -> Path:
        checkpoint = str(self.values["checkpoint"])
        if checkpoint == BUNDLED:
            return bundled_file("landmarks")
        return Path(checkpoint).expanduser()

    def load(self, labels: Labels, device: str) -> None:
        """Build the network."""
        network = load_fan(self._path(), self.values["sha256"])
        self._aligner = make_aligner(network, device, self.values["mirror"] == "average")

    def predict(self, image: Image, faces: Sequence[Sequence[float]]) -> Faces:
        """Predict the landmarks of the faces in boxes x, y, width, height.

        Raises TaskError for a box that is not finite, of less than 4 pixels of width and height
        together, or wholly outside of the image.
        """
        import numpy as np

        for box in faces:
            check_box(box, image)
        if not len(faces):
            return np.zeros((0, POINTS, 2))
        corners = [np.array([x, y, x + width, y + height]) for x, y, width, height in faces]
        found = self._aligner.get_landmarks_from_image(image, detected_faces=corners)
        return np.asarray(found, np.float64) + 0.5


def crop_of(box: Sequence[float] | NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Centre (x, y) and side in pixels of FAN's square crop of a face.

    The box is the tight one of the 68 points, as in FAN's own training; the package's
    `get_landmarks_from_image` computes the same from the box's corners.
    """
    import numpy as np

    x, y, width, height = (float(value) for value in box)
    centre = np.array([x + width / 2, y + height * (0.5 - RAISED)])
    return centre, (width + height) * WIDER


def check_box(box: Sequence[float], image: Image) -> None:
    """TaskError where a box x, y, width, height cannot be cropped."""
    import numpy as np

    x, y, width, height = box
    if not np.isfinite(box).all() or width + height < SMALLEST or min(width, height) <= 0:
        raise TaskError(f"the box {list(box)} of a face is not finite or too small")
    if x + width <= 0 or y + height <= 0 or x >= image.shape[1] or y >= image.shape[0]:
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise TaskError(f"the box {list(box)} of a face lies outside of the {size} image")


def make_aligner(network: torch.nn.Module, device: str, mirror: bool) -> Any:
    """The package's `FaceAlignment` with a given network: its crops and decoding, no detector.

    The package builds its network in `_load_native`; a subclass returns the given network there, so
    that nothing is downloaded or patched.
    """
    import torch

    with kept_autotuning():
        import face_alignment

        keep_compiled()

    class Given(face_alignment.FaceAlignment):  # type: ignore[misc]
        def _load_native(
            self, network_name: str, network_size: int, device: str, dtype: torch.dtype
        ) -> torch.nn.Module:
            # The layout is faster on a CPU, as for the models of mmdet.
            return network.to(device, dtype).to(memory_format=torch.channels_last).eval()

    with kept_autotuning():
        return Given(
            face_alignment.LandmarksType.TWO_D,
            device=device,
            flip_input=mirror,
            face_detector="folder",  # the boxes are given: it is never asked
            compile=False,
        )


@contextlib.contextmanager
def kept_autotuning() -> Iterator[None]:
    """Restore `torch.backends.cudnn.benchmark` after the block.

    The package switches it on for the whole process where it builds a network for a GPU. cuDNN then
    times its algorithms and takes another one from run to run, with other sums.
    """
    import torch

    before = torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def keep_compiled() -> None:
    """Let numba keep its code for the package's decoding: else 15 s in every process."""
    from face_alignment import utils

    from icmbench.core import jit as compiled

    decode = utils._get_preds_fromhm  # it calls one other function, of the same file
    if compiled.cache_folder() is None or getattr(decode, "signatures", True):
        return  # nowhere to keep it, compiled already, or not to be compiled (NUMBA_DISABLE_JIT)
    decode.enable_caching()
    compiled._name_apart(decode._cache._cache_file)


def load_fan(path: Path, sha256: str | None = None) -> torch.nn.Module:
    """A FAN from its file: ours (`*.safetensors`) or a state dictionary of the package's.

    Raises ModelError where the file is missing, damaged, of another network or another sha256.
    """
    check_weight_file(path, sha256)
    from icmbench.models.tensors import fill_network, load_network

    if path.suffix == ".safetensors":
        state, metadata = load_network(path)
        try:
            network = build_fan(int(metadata["network"]["features"]))
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise ModelError(f"{path}: its metadata describe no FAN: {error!r}") from error
    else:
        state = _read_pickle(path)
        network = _package_fan(state, path)
    # Counters of the norms; neither our file nor an old one has them and nothing reads them.
    counters = {k: v for k, v in network.state_dict().items() if k.endswith("batches_tracked")}
    fill_network(network, counters | state, path)
    return network.eval()


def _read_pickle(path: Path) -> dict[str, torch.Tensor]:
    import torch

    state = load_pickle(path)
    if not isinstance(state, Mapping) or not all(map(torch.is_tensor, state.values())):
        raise ModelError(f"{path}: not a state dictionary")
    return dict(state)


def _package_fan(state: Mapping[str, torch.Tensor], path: Path) -> torch.nn.Module:
    """The package's FAN of as many hourglasses as a state dictionary has heat maps."""
    from face_alignment.models import FAN

    stacked = sum(f"l{number}.weight" in state for number in range(len(state)))
    if not stacked:
        raise ModelError(f"{path}: not a FAN: it has no tensor 'l0.weight'")
    return cast("torch.nn.Module", FAN(stacked))


def build_fan(features: int) -> torch.nn.Module:
    """A narrow FAN of one hourglass, with random weights: (n, 3, 256, 256) -> [(n, 68, 64, 64)].

    It is put together from the package's blocks, as its FAN is, at half the resolution: crops are
    halved first, and the last convolution gives four cells of the heat map at every place. This
    costs a quarter of the time. ConfigError where `features` is not a multiple of 16.
    """
    import torch
    from face_alignment.models.fan import ConvBlock, HourGlass
    from torch.nn import functional

    if features < 16 or features % 16:
        raise ConfigError(f"{features} features are not a multiple of 16")

    class NarrowFan(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = features
            quarter, half = features // 4, features // 2
            self.conv1 = torch.nn.Conv2d(3, quarter, 7, stride=2, padding=3)
            self.bn1 = torch.nn.BatchNorm2d(quarter)
            self.conv2 = ConvBlock(quarter, half)
            self.conv3 = ConvBlock(half, half)
            self.conv4 = ConvBlock(half, features)
            self.m0 = HourGlass(1, 4, features)
            self.top_m_0 = ConvBlock(features, features)
            self.conv_last0 = torch.nn.Conv2d(features, features, 1)
            self.bn_end0 = torch.nn.BatchNorm2d(features)
            self.l0 = torch.nn.Conv2d(features, 4 * POINTS, 1)

        def forward(self, crops: torch.Tensor) -> list[torch.Tensor]:
            values = functional.avg_pool2d(crops, 2)
            values = functional.relu(self.bn1(self.conv1(values)))
            values = functional.avg_pool2d(self.conv2(values), 2)
            values = self.conv4(self.conv3(values))
            values = self.top_m_0(self.m0(values))
            values = functional.relu(self.bn_end0(self.conv_last0(values)))
            return [functional.pixel_shuffle(self.l0(values), 2)]

    return NarrowFan()
