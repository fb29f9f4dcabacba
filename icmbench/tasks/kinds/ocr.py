"""`ocr`: text read by PP-OCRv6, through the package rapidocr and ONNX Runtime.

Detection by differentiable binarisation (Liao et al. 2020), then recognition of every line by CTC.
The networks are the small ones of PP-OCRv6 that lie inside the wheel of rapidocr: nothing is
fetched.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from icmbench.core.errors import ConfigError, ModelError, TaskError
from icmbench.core.versions import runs_jobs
from icmbench.datasets.options import Option
from icmbench.tasks.backends.onnx_task import (
    CUDA,
    CUDA_OPTIONS,
    GPU_PACKAGE,
    has_gpu_package,
    no_provider,
)
from icmbench.tasks.base import Image, Labels, Task

if TYPE_CHECKING:
    from icmbench.tasks.answers.text import Lines

PACKAGE: Final = "rapidocr"
DETECTION: Final = "PP-OCRv6_det_small.onnx"
RECOGNITION: Final = "PP-OCRv6_rec_small.onnx"
LEAST: Final = 32  # pixels of the shorter side: the network's stride


class Ocr(Task):
    """Lines of text: where they are, and what they say.

    Images are enlarged so that their shorter side has `side` pixels, for detection alone. The
    classifier of upside-down lines is off. Lines of a score below `score` are left out, and images
    of a longer side above 2000 pixels are reduced to it, as the package does by default.
    """

    kind = "ocr"
    produces = "text"  # of a module with numpy
    needs_annotations = False
    packages = (PACKAGE, "onnxruntime", GPU_PACKAGE, "opencv-python-headless", "pyclipper")
    options = {
        "side": Option(
            int, default=736, low=LEAST, help="shorter side at detection of smaller images"
        ),
        "score": Option(float, default=0.5, low=0, help="least score of a line"),
    }

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        super().__init__(name, entry)
        if self.values["score"] > 1:
            raise ConfigError(
                f"task {name!r}: score={self.values['score']} is above 1, the largest score of a "
                "line: nothing would be read"
            )
        self._engine: Any = None

    @property
    def uses_device(self) -> bool:  # type: ignore[override]  # of the installation, not the class
        """True where ONNX Runtime is the GPU package; otherwise no job requests a GPU."""
        return has_gpu_package()

    @property
    def model(self) -> str:
        """Name and size of the networks."""
        return "PP-OCRv6 small"

    def files(self) -> list[Path]:
        """None: the version of the package decides the networks.

        Raises ModelError as `network_files`, but not where a run is only planned.
        """
        if runs_jobs():
            network_files()
        return []

    def load(self, labels: Labels, device: str) -> None:
        """Load both networks and run them once on a grey image.

        Raises ModelError as `network_files`, and where a network is damaged or a package that
        rapidocr needs is missing.
        """
        self._engine = self._opened(network_files(), device)

    def predict(self, image: Image, given: Sequence[Any]) -> Lines:
        """The lines of an image; TaskError where a side is shorter than 32 pixels."""
        import numpy as np

        height, width = image.shape[:2]
        if min(height, width) < LEAST:
            raise TaskError(
                f"an image of {width}x{height} pixels: text is found in {LEAST}x{LEAST} or more"
            )
        found = self._engine(np.ascontiguousarray(image[:, :, ::-1]), use_det=True, use_rec=True)
        from icmbench.tasks.answers.text import Lines

        texts = tuple(found.txts or ())
        boxes = np.reshape([] if found.boxes is None else found.boxes, (len(texts), 4, 2))
        scores = np.array(found.scores or (), np.float64)
        return Lines(texts, boxes.astype(np.float64), scores)

    def _opened(self, files: Sequence[Path], device: str) -> Any:
        """The package's engine with both networks loaded; sets `device` to the one that serves."""
        import numpy as np

        try:
            import cv2
            import onnxruntime
            from rapidocr import RapidOCR
        except ImportError as error:
            raise ModelError(
                f"the package {PACKAGE} cannot be loaded ({error}): install it with what it needs, "
                f"`pip install {PACKAGE} onnxruntime`"
            ) from error
        cv2.setNumThreads(1)  # its threads are none of OpenMP's, which the environment limits
        wanted = device == "cuda" and CUDA in onnxruntime.get_available_providers()
        engine: Any = RapidOCR(params=self._settings(files, wanted))
        grey = np.full((LEAST, 4 * LEAST, 3), 128, np.uint8)
        # A network is loaded when it is first asked for.
        for path, finds in zip(files, (True, False), strict=True):
            try:
                engine(grey, use_det=finds, use_rec=not finds)
            # ONNX Runtime's errors have no base class of their own.
            except Exception as error:
                raise ModelError(f"{path}: ONNX Runtime cannot run it: {error}") from error
        parts = (engine.text_det, engine.text_rec)
        # A provider whose libraries do not load is left out of the session without an error.
        served = all(CUDA in part.session.session.get_providers() for part in parts)
        self.device = "cuda" if served else "cpu"
        if self.device != device:
            no_provider(files[0], "cannot start" if wanted else "is not installed",
                        self.must_use_device)  # fmt: skip
        return engine

    def _settings(self, files: Sequence[Path], cuda: bool) -> dict[str, Any]:
        """Parameters of the engine: networks by path, one thread, no messages."""
        runtime = "EngineConfig.onnxruntime"
        options = {f"{runtime}.cuda_ep_cfg.{key}": value for key, value in CUDA_OPTIONS.items()}
        return {
            "Global.log_level": "critical",
            "Global.use_cls": False,
            "Global.text_score": self.values["score"],
            "Det.model_path": str(files[0]),
            "Det.limit_side_len": self.values["side"],
            "Rec.model_path": str(files[1]),
            f"{runtime}.intra_op_num_threads": 1,
            f"{runtime}.inter_op_num_threads": 1,
            f"{runtime}.use_cuda": cuda,
            **options,
        }


def network_files() -> list[Path]:
    """Files of the detection and the recognition network inside the installed package.

    Raises ModelError where the package or a file is missing.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelError(f"the package {PACKAGE} is not installed: install {PACKAGE} 3.10")
    files = [Path(spec.origin).parent / "models" / name for name in (DETECTION, RECOGNITION)]
    for path in files:
        if not path.is_file():
            raise ModelError(
                f"{path}: no such file; the wheel of {PACKAGE} 3.10 has it: install that again"
            )
    return files
