"""Clusters of the coded data sets: distortion by count, their pictures, labels over images."""

from pathlib import Path

import torch
from matplotlib import pyplot

from icmbench.codecs.mpd.training.pseudo_labels import PseudoLabels
from icmbench.codecs.mpd.training.representation import load_taps
from icmbench.core.devices import use_device
from icmbench.core.images.image_files import read_image
from icmbench.core.joblog import log_to
from icmbench.datasets.base import shard_of
from icmbench.datasets.manifest import find_record, read_records, usable
from icmbench.reporting.figures.style import declared_stem, save
from icmbench.studies.clusters import ClusterStudy

MOST = 256  # images of a data set

with log_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, results = snakemake.params, Path(snakemake.config["results"])
    labels = PseudoLabels.load(Path(snakemake.input.labels))
    study = ClusterStudy(
        load_taps(Path(snakemake.input.network), use_device(params.device)), labels, params.settings
    )
    for dataset in params.datasets:
        home = results / "datasets" / dataset
        paths = {
            record.image: home / "images" / str(shard) / record.path
            for shard in range(params.shards)
            for record in usable(read_records(home / "shards" / f"{shard}.csv"), params.split)
        }
        # In the order of ids, whatever the shards; some of a large data set, evenly.
        names = sorted(paths)[:: -(-len(paths) // MOST) or 1]
        study.add(dataset, [read_image(paths[name])[0] for name in names])
    figures = study.figures()
    for number, item in enumerate(params.places):
        home, shard = results / "datasets" / item["dataset"], shard_of(item["image"], params.shards)
        record = find_record(read_records(home / "shards" / f"{shard}.csv"), item["image"])
        image, _ = read_image(home / "images" / str(shard) / record.path)
        figures[f"labels_{item['dataset']}_{number}"] = study.over(image, item["image"])
    for name, figure in figures.items():
        save(figure, declared_stem(snakemake.output, name))
        pyplot.close(figure)
