"""The taps of the VGG on a patch of an image, and their Fourier transforms."""

from pathlib import Path

import torch

from icmbench.codecs.mpd.training.representation import load_taps
from icmbench.core.images.image_files import read_image
from icmbench.core.joblog import log_to
from icmbench.datasets.base import shard_of
from icmbench.datasets.manifest import find_record, read_records
from icmbench.reporting.figures.style import save
from icmbench.studies.clusters import taps_figure

with log_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, item = snakemake.params, snakemake.params.place[0]
    shard = shard_of(item["image"], params.shards)
    home = Path(snakemake.config["results"]) / "datasets" / item["dataset"]
    record = find_record(read_records(home / "shards" / f"{shard}.csv"), item["image"])
    image, _ = read_image(home / "images" / str(shard) / record.path)
    network = load_taps(Path(snakemake.input.network))
    figure = taps_figure(network, image, params.size, item["image"])
    save(figure, Path(snakemake.output[0]).with_suffix(""))
