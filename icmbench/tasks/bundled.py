"""The small task models that come with the package, and the kinds of tasks that they serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

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


WHAT: Final = {
    "detector": "RTMDet-Ins of a narrow width (mmdet): boxes and masks of 8 kinds of things",
    "segmenter": "Fast-SCNN (mmseg): 17 classes per pixel",
    "landmarks": "FAN of one narrow hourglass (face-alignment): 68 points of a face",
}


def task_card() -> dict[str, Any]:
    """The card of the bundled task models: what they are, how each was made, their digests.

    Raises ModelError where a file is missing or damaged.
    """
    from icmbench.models.card import described

    return {
        "what": "small task models of the default run, for 256-pixel scenes",
        "made_by": "icmbench, from scratch, on clean scenes of the split train",
        "licence": "BSD-3-Clause",
        "files": described([bundled_file(part) for part in WHAT], WHAT),
    }
