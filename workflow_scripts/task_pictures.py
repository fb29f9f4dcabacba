"""Some images as the models of tasks saw them: original and every codec at about the same rate."""

from pathlib import Path

import pandas as pd
from matplotlib import pyplot

from icmbench.core.joblog import log_to
from icmbench.datasets.base import shard_of
from icmbench.datasets.manifest import find_record, read_records
from icmbench.evaluation.shard import make_codec_entry
from icmbench.reporting.figures.style import declared_stem, save
from icmbench.studies.task_pictures import Shard, pictures_of_task
from icmbench.tasks.evaluate import read_truth
from icmbench.tasks.registry import make_task
from icmbench.tasks.run import ORIGINALS

with log_to(snakemake.log[0]):
    params, results = snakemake.params, Path(snakemake.config["results"])
    families = {
        name: make_codec_entry(name, settings) for name, settings in params.settings.items()
    }
    for item, stem in zip(params.pictures, params.names, strict=True):
        dataset, number = item["dataset"], shard_of(item["image"], params.shards)
        home = results / "datasets" / dataset
        said = results / "predictions" / dataset
        parts = [
            pd.read_parquet(results / "measurements" / dataset / name / f"{number}.parquet")
            for name in families
        ]
        shard = Shard(
            home / "images" / str(number),
            pd.concat(parts, ignore_index=True),
            {name: results / "streams" / dataset / name / f"{number}.zip" for name in families},
            {
                name: said / name / str(number) / f"{item['task']}.zip"
                for name in (ORIGINALS, *families)
            },
        )
        task = make_task(item["task"], params.tasks[item["task"]])
        figure = pictures_of_task(
            task.name,
            task.model,
            task.produces,
            read_truth(home).labels(dataset),
            find_record(read_records(home / "shards" / f"{number}.csv"), item["image"]),
            item["bpp"],
            shard,
            families,
        )
        save(figure, declared_stem(snakemake.output, stem))
        pyplot.close(figure)
