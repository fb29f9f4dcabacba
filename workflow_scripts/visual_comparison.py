"""Some images, every codec at about the same rate, side by side."""

from pathlib import Path

import pandas as pd
from matplotlib import pyplot

from icmbench.core.joblog import log_to
from icmbench.datasets.base import shard_of
from icmbench.datasets.manifest import find_record, read_records
from icmbench.evaluation.shard import make_codec_entry
from icmbench.reporting.figures.style import declared_stem, save
from icmbench.studies.visuals import visual_figure

with log_to(snakemake.log[0]):
    params, results = snakemake.params, Path(snakemake.config["results"])
    families = {
        name: make_codec_entry(name, settings) for name, settings in params.settings.items()
    }
    for number, item in enumerate(params.visuals):
        dataset, shard = item["dataset"], shard_of(item["image"], params.shards)
        home = results / "datasets" / dataset
        parts = [
            pd.read_parquet(results / "measurements" / dataset / name / f"{shard}.parquet")
            for name in families
        ]
        figure = visual_figure(
            dataset,
            find_record(read_records(home / "shards" / f"{shard}.csv"), item["image"]),
            home / "images" / str(shard),
            item["bpp"],
            pd.concat(parts, ignore_index=True),
            {name: results / "streams" / dataset / name / f"{shard}.zip" for name in families},
            families,
        )
        save(figure, declared_stem(snakemake.output, f"visual_{number}"))
        pyplot.close(figure)
