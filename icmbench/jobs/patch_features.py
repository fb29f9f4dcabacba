"""Inception features of the patches of one shard, for FID and KID."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from icmbench.core.devices import keep_freed_memory, use_device
from icmbench.datasets.records import read_records, usable
from icmbench.evaluation import patch_features as shard
from icmbench.metrics.inception import load_inception, pool3


def patch_features(
    *,
    weights: str | None,
    device: str,
    split: str,
    records: Path,
    pictures: Path,
    decoded: Path,
    features: Path,
) -> None:
    """Write the features of a shard's reconstructions, of every codec spec.

    Args:
        weights: folder of the published weight file.
        records: the shard's list.
        pictures, decoded: the archive and the status table of the decoding job.
        features: the file to write.
    """
    chosen = usable(read_records(records), split)
    extract = _extractor(weights, device)
    shard.write_reconstructions(chosen, pictures, decoded, extract, features)


def patch_features_originals(
    *, weights: str | None, device: str, split: str, records: Path, images: Path, features: Path
) -> None:
    """Write the features of a shard's originals.

    Args:
        records, images: the shard's list and folder; other arguments as in `patch_features`.
    """
    chosen = usable(read_records(records), split)
    shard.write_originals(chosen, images, _extractor(weights, device), features)


def _extractor(weights: str | None, device: str) -> shard.Extract:
    keep_freed_memory()
    place = use_device(device)
    network = load_inception(Path(weights) if weights else None, place)

    def extract(patches: np.ndarray) -> np.ndarray:
        return pool3(network, patches, place)

    return extract
