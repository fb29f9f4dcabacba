"""Base of the tasks with exported networks: the file, its session, inference."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from icmbench.core.errors import ConfigError, ModelError, TaskError
from icmbench.core.files import check_weight_file
from icmbench.datasets.options import Option
from icmbench.tasks.base import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
GPU_PACKAGE: Final = "onnxruntime-gpu"  # the distribution that has the CUDA provider
END2END: Final = "end2end"  # MMDeploy gives every network this file name: its folder names it
# Full float32 and no timing of algorithms, as everywhere on a GPU: the same sums every time.
CUDA_OPTIONS: Final = {"use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT"}
FILE: Final[Mapping[str, Option]] = {
    "model": Option(str, required=True, help="the .onnx file, or a folder that holds one"),
    "sha256": Option(str, help="of the file; another one is refused"),
}


class OnnxTask(Task):
    """A network in an .onnx file; a subclass prepares images and reads outputs.

    It runs through ONNX Runtime's CUDA provider where a GPU is to be used and `onnxruntime-gpu`
    is installed, otherwise on one thread of the CPU; `device` is the one that serves.
    """

    options = FILE
    _session: Any = None

    @property
    def uses_device(self) -> bool:  # type: ignore[override]  # of the installation, not the class
        """True where ONNX Runtime is the GPU package; otherwise no job requests a GPU."""
        return has_gpu_package()

    @property
    def model(self) -> str:
        """The file's name without its ending; of an export of MMDeploy the folder's name."""
        path = self._path()
        return path.parent.name if path.stem == END2END else path.stem

    def files(self) -> list[Path]:
        """The network."""
        return [self._path()]

    def _path(self) -> Path:
        """The network's file; of a folder, such as an unpacked archive, the only one below."""
        given = Path(self.values["model"]).expanduser()
        found = sorted(given.rglob("*.onnx")) if given.is_dir() else []
        return found[0] if len(found) == 1 else given

    def _open(self, device: str) -> None:
        self._session, self.device = open_session(
            self._path(), self.values["sha256"], device, must=self.must_use_device
        )

    def _run(self, tensor: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The outputs for an input; ModelError where the network does not take its shape."""
        name = self._session.get_inputs()[0].name
        try:
            outputs: list[NDArray[np.float32]] = self._session.run(None, {name: tensor})
        # Its errors have no base class of their own.
        except Exception as error:
            raise ModelError(
                f"{self._path()}: it does not take float32 {tensor.shape}: {error}"
            ) from error
        return outputs


def check_choices(
    name: str, values: Mapping[str, Any], choices: Mapping[str, Sequence[str]]
) -> None:
    """ConfigError where an option of a task is none of the known words."""
    for key, known in choices.items():
        if values[key] not in known:
            raise ConfigError(f"task {name!r}: {key}={values[key]!r} is none of {', '.join(known)}")


def has_gpu_package() -> bool:
    """True if the distribution of ONNX Runtime that can use a GPU is installed."""
    try:
        metadata.version(GPU_PACKAGE)
    except metadata.PackageNotFoundError:
        return False
    return True


def open_session(
    path: Path, sha256: str | None, device: str = "cpu", *, must: bool = False
) -> tuple[Any, str]:
    """An ONNX Runtime session, and the device that it runs on: cpu (one thread) or cuda.

    Args:
        must: TaskError instead of a warning and the CPU where `device` is cuda and the provider
            is missing or cannot start.

    Raises ModelError where the file is missing, is no network, or has another sha256, TaskError
    without the package onnxruntime.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise TaskError(f"{path}: needs the package onnxruntime, which is not there") from error
    check_weight_file(path, sha256)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3  # errors: old exporters make hundreds of warnings
    wanted = device == "cuda" and CUDA in onnxruntime.get_available_providers()
    providers = [(CUDA, CUDA_OPTIONS), CPU] if wanted else [CPU]
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=providers)
    # Its errors have no base class of their own.
    except Exception as error:
        raise ModelError(f"{path}: ONNX Runtime cannot read it: {error}") from error
    # A provider whose libraries do not load is left out of the session without an error.
    used = "cuda" if CUDA in session.get_providers() else "cpu"
    if used != device:
        no_provider(path, "cannot start" if wanted else "is not installed", must)
    return session, used


def no_provider(path: Path, reason: str, must: bool) -> None:
    """Warn that a network runs on the CPU although a GPU was asked for; TaskError if it `must`."""
    text = (
        f"{path}: ONNX Runtime's {CUDA} {reason}; install {GPU_PACKAGE} in place of onnxruntime, "
        "with the CUDA and cuDNN that it requires, or set device: cpu"
    )
    if must:
        raise TaskError(text)
    log.warning("%s; the network runs on the CPU", text)
