"""Provenance of trained weights, part of their metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from icmbench.core.files import sha256_file
from icmbench.core.versions import package_version
from icmbench.training.data import TrainingData
from icmbench.training.loop import Schedule


def data_provenance(data: TrainingData) -> dict[str, Any]:
    """Sources of the training data with their numbers of images, licences, digest of all pixels."""
    return {
        "sources": [{"name": name, "images": count} for name, count in data.sources],
        "licences": list(data.licences),
        "digest": data.digest,
    }


def training_provenance(
    schedule: Schedule, data: TrainingData, crop: int, start: Path | None
) -> dict[str, Any]:
    """Schedule, training data, crop, versions, and the digest of the start file."""
    return {
        **schedule.values(),
        "crop": crop,
        "pool": data_provenance(data),
        "start": sha256_file(start) if start else "scratch",
        "versions": {name: package_version(name) for name in ("torch", "diffusers", "numpy")},
    }
