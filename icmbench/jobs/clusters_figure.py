"""Clusters of descriptors on the coded data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from icmbench.codecs.mpd.training.pseudo_labels import PseudoLabels
from icmbench.codecs.mpd.training.representation import load_taps
from icmbench.core.devices import use_device
from icmbench.core.images.image_files import read_image
from icmbench.datasets.records import read_records, usable
from icmbench.jobs.figures import save_figure
from icmbench.jobs.groups import by_name
from icmbench.jobs.places import Place, image_of
from icmbench.studies.clusters import ClusterStudy

IMAGES: Final = 256  # of a data set, at most


def clusters_figure(
    *,
    datasets: Sequence[str],
    places: Sequence[Place],
    settings: Mapping[str, Any],
    split: str,
    device: str,
    threads: int,
    records: Sequence[Path],
    images: Sequence[Path],
    labels: Path,
    network: Path,
    figures: Sequence[Path],
) -> None:
    """Draw distortion against the number of clusters, cluster montages and label maps.

    Args:
        datasets: names of the data sets, in the order of `records` and `images`.
        places: images over which label maps are drawn.
        settings: section of the configuration about pseudo-labels.
        records, images: lists and folders of the shards, one data set after the other.
        labels, network: pseudo-labels, and weight file of the VGG.
    """
    torch.set_num_threads(threads)
    taps = load_taps(network, use_device(device))
    study = ClusterStudy(taps, PseudoLabels.load(labels), settings)
    folders = by_name(datasets, images)
    for dataset, lists in by_name(datasets, records).items():
        paths = {
            record.image: folder / record.path
            for path, folder in zip(lists, folders[dataset], strict=True)
            for record in usable(read_records(path), split)
        }
        # Sorted by id, whatever the shards; of a large data set, images at equal distances.
        names = sorted(paths)[:: -(-len(paths) // IMAGES) or 1]
        study.add(dataset, [read_image(paths[name])[0] for name in names])
    for name, figure in study.figures().items():
        save_figure(name, figure, figures)
    for place in places:
        save_figure(place["figure"], study.over(image_of(place), place["image"]), figures)
