"""Pseudo-labels of the training pool's patches, and what their clusters look like."""

from pathlib import Path

import torch
from matplotlib import pyplot

from icmbench.codecs.mpd.model import TAPS
from icmbench.codecs.mpd.training.pseudo_labels import draw_patches
from icmbench.codecs.mpd.training.representation import load_taps, make_pseudo_labels
from icmbench.core.devices import use_device
from icmbench.core.joblog import log_to
from icmbench.reporting.figures.style import save
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.studies.clusters import labels_table, level_montage
from icmbench.training.data import read_provided

with log_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    files, out, settings = snakemake.input, snakemake.output, snakemake.params.settings
    kind = snakemake.wildcards.kind
    network = load_taps(Path(files.network), use_device(snakemake.params.device))
    pool = read_provided(files.records, files.images, smallest=settings["size"])
    patches = draw_patches(pool.images, settings["patches"], settings["size"], settings["seed"])
    labels, descriptors = make_pseudo_labels(
        network,
        pool,
        patches,
        kind,
        counts=settings["counts"],
        clusters=settings["clusters"],
        seed=settings["seed"],
    )
    labels.save(Path(out.labels))
    write_csv(labels_table(labels, descriptors, settings["seed"]), Path(out.table))
    for tap, level, values, path in zip(
        TAPS, labels.levels, descriptors, out.figures[::3], strict=True
    ):
        figure = level_montage(f"{kind}, {tap}", level, values, patches, pool.images)
        save(figure, Path(path).with_suffix(""))
        pyplot.close(figure)
