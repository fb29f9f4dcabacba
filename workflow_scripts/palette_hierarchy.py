"""The palette hierarchy of some images, state by state."""

from pathlib import Path

from matplotlib import pyplot

from icmbench.core.joblog import log_to
from icmbench.datasets.base import shard_of
from icmbench.datasets.manifest import find_record, read_records
from icmbench.evaluation.shard import make_codec_entry
from icmbench.reporting.figures.style import declared_stem, save
from icmbench.studies.hierarchies import hierarchy_figure

with log_to(snakemake.log[0]):
    params, results = snakemake.params, Path(snakemake.config["results"])
    family = make_codec_entry(params.codec, params.settings)
    for number, item in enumerate(params.hierarchy):
        dataset, shard = item["dataset"], shard_of(item["image"], params.shards)
        home = results / "datasets" / dataset
        figure = hierarchy_figure(
            dataset,
            find_record(read_records(home / "shards" / f"{shard}.csv"), item["image"]),
            home / "images" / str(shard),
            results / "streams" / dataset / family.name / f"{shard}.zip",
            family,
        )
        save(figure, declared_stem(snakemake.output, f"palette_{dataset}_{number}"))
        pyplot.close(figure)
