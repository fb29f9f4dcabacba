"""Weight files of task models."""

from __future__ import annotations

from pathlib import Path

from icmbench.datasets.download import download


def task_weights(*, source: tuple[str, str], weights: Path) -> None:
    """Download a weight file; `source`: its URL and sha256."""
    url, sha256 = source
    download(url, weights, sha256)
