"""Weight files of task models."""

from __future__ import annotations

from pathlib import Path

from icmbench.core.errors import DatasetError
from icmbench.sources.download import download


def task_weights(*, source: tuple[str, str], offline: bool, weights: Path) -> None:
    """Download a weight file; `source`: its URL and sha256.

    Raises DatasetError with `offline`, which forbids the network.
    """
    url, sha256 = source
    if offline:
        raise DatasetError(
            f"{weights}: not there, and offline is set: download {url} where there is a network, "
            "and put it there"
        )
    download(url, weights, sha256)
