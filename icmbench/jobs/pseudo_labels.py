"""Pseudo-labels of the training set's patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from icmbench.codecs.mpd.training.pseudo_labels import draw_patches
from icmbench.codecs.mpd.training.representation import load_taps, make_pseudo_labels
from icmbench.core.devices import use_device
from icmbench.jobs.figures import save_figure
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.studies.clusters import labels_table, level_montage
from icmbench.training.data import read_provided


def pseudo_labels(
    kind: str,
    *,
    settings: Mapping[str, Any],
    device: str,
    threads: int,
    cache_mb: float,
    records: Sequence[Path],
    images: Sequence[Path],
    network: Path,
    labels: Path,
    table: Path,
    figures: Sequence[Path],
) -> None:
    """Cluster descriptors of patches level by level; tabulate and draw the clusters.

    Args:
        kind: of the descriptors.
        settings: section of the configuration, and the `seed`.
        cache_mb: 10^6 bytes of decoded training images that stay in memory.
        records, images: list and folder of every source of the training set.
        network: weight file of the VGG.
        labels, table, figures: the files to write.
    """
    torch.set_num_threads(threads)
    size, seed = settings["size"], settings["seed"]
    taps = load_taps(network, use_device(device))
    data = read_provided(records, images, smallest=size, cache_mb=cache_mb)
    patches = draw_patches(data.images, settings["patches"], size, seed)
    found, descriptors = make_pseudo_labels(
        taps,
        data,
        patches,
        kind,
        counts=settings["counts"],
        clusters=settings["clusters"],
        seed=seed,
    )
    found.save(labels)
    write_csv(labels_table(found, descriptors, seed), table)
    for tap, level, values in zip(found.names, found.levels, descriptors, strict=True):
        figure = level_montage(f"{kind}, {tap}", level, values, patches, data.images)
        save_figure(f"montage_{kind}_{tap}", figure, figures)
