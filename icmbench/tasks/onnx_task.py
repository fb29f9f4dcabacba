"""What the tasks of exported networks share: the file, its session, a run of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.datasets.base import Option
from icmbench.errors import ConfigError, ModelError, TaskError
from icmbench.files import sha256_file
from icmbench.tasks.base import Task

FILE: Final[Mapping[str, Option]] = {
    "model": Option(str, required=True, help="the .onnx file"),
    "sha256": Option(str, help="of the file; another one is refused"),
}


class OnnxTask(Task):
    """A network in an .onnx file; a subclass prepares pictures and reads outputs.

    It runs on the CPU, on one thread, whatever the device: the same answers on every machine.
    """

    options = FILE
    uses_device = False
    _session: Any = None

    @property
    def model(self) -> str:
        """The file's name without its ending."""
        return self._path().stem

    def files(self) -> list[Path]:
        """The network."""
        return [self._path()]

    def _path(self) -> Path:
        return Path(self.values["model"]).expanduser()

    def _open(self) -> None:
        self._session = open_session(self._path(), self.values["sha256"])

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


def open_session(path: Path, sha256: str | None) -> Any:
    """An ONNX Runtime session on one CPU thread.

    Raises ModelError where the file is missing, is no network, or has another sha256, TaskError
    without the package onnxruntime.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise TaskError(f"{path}: needs the package onnxruntime, which is not there") from error
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    if sha256 is not None and (found := sha256_file(path)) != sha256.lower():
        raise ModelError(f"{path}: its sha256 is {found}, expected {sha256}")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3  # errors: old exporters make hundreds of warnings
    try:
        return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    # Its errors have no base class of their own.
    except Exception as error:
        raise ModelError(f"{path}: ONNX Runtime cannot read it: {error}") from error
