"""The small task models that come with the package, and the kinds of tasks that they serve."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import icmbench
from icmbench.models.layout import ModelLayout

BUNDLED: Final = "bundled"  # what a task's option `checkpoint` says
FOLDER: Final = "tasks"  # below the weights of the package, and below a run's models
PARTS: Final = {"mmdet": "detector", "mmseg": "segmenter", "face-alignment": "landmarks"}
LAYOUT: Final = ModelLayout(
    FOLDER,
    "small task models, trained on rendered scenes without any codec, for 256-pixel scenes",
    tuple(PARTS.values()),
    (),
    {
        "detector": "RTMDet-Ins of a narrow width (mmdet): boxes and masks of 8 kinds of things",
        "segmenter": "Fast-SCNN (mmseg): 17 classes per pixel",
        "landmarks": "FAN of one narrow hourglass (face-alignment): 68 points of a face",
    },
)


def bundled_file(part: str) -> Path:
    """The file of one of the bundled models, one of `PARTS`' values."""
    return Path(icmbench.__file__).parent / "weights" / FOLDER / f"{part}.safetensors"


def is_bundled(checkpoint: str, part: str) -> bool:
    """True if an option names a bundled model: the word, or the file that a run makes of it."""
    return checkpoint == BUNDLED or Path(checkpoint).parts[-2:] == (FOLDER, f"{part}.safetensors")
