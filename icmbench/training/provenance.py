"""What a file of trained weights says about how it was made."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from icmbench.core.files import sha256_file
from icmbench.core.versions import package_version
from icmbench.training.data import Pool
from icmbench.training.loop import Schedule


def pool_provenance(pool: Pool) -> dict[str, Any]:
    """The pool: its sources with their numbers of images, licences, digest of all pixels."""
    return {
        "sources": [{"name": name, "images": count} for name, count in pool.sources],
        "licences": list(pool.licences),
        "digest": pool.digest,
    }


def training_provenance(
    schedule: Schedule, pool: Pool, crop: int, start: Path | None
) -> dict[str, Any]:
    """Schedule, pool, crop, versions, and the digest of the file that training started from."""
    settings = {k: v for k, v in asdict(schedule).items() if k != "checkpoint_every"}
    return {
        **settings,
        "crop": crop,
        "pool": pool_provenance(pool),
        "start": sha256_file(start) if start else "scratch",
        "versions": {name: package_version(name) for name in ("torch", "diffusers", "numpy")},
    }
