"""Some images at every rate of the diffusion codec, what its prior invents, and the accounting."""

from pathlib import Path

import pandas as pd
from matplotlib import pyplot

from icmbench.core.joblog import log_to
from icmbench.datasets.base import shard_of
from icmbench.datasets.manifest import find_record, read_records
from icmbench.evaluation.shard import make_codec_entry
from icmbench.reporting.figures.style import declared_stem, save
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.studies.diffusion import COLUMNS, draw_image, make_icmh

with log_to(snakemake.log[0]):
    params, results = snakemake.params, Path(snakemake.config["results"])
    family = make_codec_entry(params.codec, params.settings)
    codec = make_icmh(family)
    rows = []
    for number, item in enumerate(params.diffusion):
        dataset, shard = item["dataset"], shard_of(item["image"], params.shards)
        home = results / "datasets" / dataset
        drawn = draw_image(
            dataset,
            find_record(read_records(home / "shards" / f"{shard}.csv"), item["image"]),
            home / "images" / str(shard),
            results / "streams" / dataset / family.name / f"{shard}.zip",
            family,
            codec,
        )
        rows += drawn.rows
        for kind, figure in (("diffusion_rates", drawn.rates), ("prior_alone", drawn.alone)):
            name = f"{kind}_{dataset}_{number}"
            save(figure, declared_stem(snakemake.output.figures, name))
            pyplot.close(figure)
    write_csv(pd.DataFrame(rows, columns=list(COLUMNS)), Path(snakemake.output.table))
