"""Conditions of a training: time, device, revision and versions, in a file beside the weights.

They belong to the model card and to no weight file: two trainings of equal weights differ in them.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any, Final

from icmbench.core.devices import resolve_device
from icmbench.core.files import sha256_file, write_json
from icmbench.core.hardware import gpus, processor
from icmbench.core.revision import UNKNOWN, current_revision
from icmbench.core.versions import package_version
from icmbench.jobs.bundled_or_trained import TrainingJob

PACKAGES: Final = ("constriction", "diffusers", "numpy", "torch")


def write_conditions(path: Path, job: TrainingJob) -> None:
    """Write the conditions of a training that has just ended, with digests of its weight files.

    `hours` are those of all pieces of an interrupted training, without what was lost when a piece
    was killed; `clean` is true for a revision whose working copy was unchanged.
    """
    device, revision = resolve_device(job.device), current_revision()
    values: dict[str, Any] = {
        "hours": round(job.clock.seconds / 3600, 4) if job.clock else None,
        "device": device,
        "hardware": gpus()[0] if device == "cuda" else processor(),
        "threads": job.threads,
        "processes": int(job.compute.get("processes", 1)),
        "revision": revision,
        "clean": revision != UNKNOWN and "+" not in revision,
        "versions": {
            "python": platform.python_version(),
            **{name: package_version(name) for name in PACKAGES},
        },
        "files": {weights.name: sha256_file(weights) for weights in job.weights},
    }
    write_json(path, values)
