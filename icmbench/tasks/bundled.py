"""The small task models that come with the package, and the kinds of tasks that they serve."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import icmbench

BUNDLED: Final = "bundled"  # what a task's option `checkpoint` says
FOLDER: Final = "tasks"  # below the weights of the package, and below a run's models
PARTS: Final = {"mmdet": "detector", "mmseg": "segmenter", "face-alignment": "landmarks"}


def bundled_file(part: str) -> Path:
    """The file of one of the bundled models, one of `PARTS`' values."""
    return Path(icmbench.__file__).parent / "weights" / FOLDER / f"{part}.safetensors"


def is_bundled(checkpoint: str, part: str) -> bool:
    """True if an option names a bundled model: the word, or the file that a run makes of it."""
    return checkpoint == BUNDLED or Path(checkpoint).parts[-2:] == (FOLDER, f"{part}.safetensors")
