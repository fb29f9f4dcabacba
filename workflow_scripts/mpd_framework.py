"""Numbers of MPD's framework, stage by stage, for some images."""

from pathlib import Path

import pandas as pd

from icmbench.core.errors import MeasurementError
from icmbench.core.images.image_files import read_image
from icmbench.core.joblog import log_to
from icmbench.datasets.base import shard_of
from icmbench.datasets.manifest import find_record, read_records
from icmbench.evaluation.shard import make_codec_entry
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.studies.framework import COLUMNS, framework_rows
from icmbench.studies.states import make_codec, stored_stream

with log_to(snakemake.log[0]):
    params, results = snakemake.params, Path(snakemake.config["results"])
    family = make_codec_entry(params.codec, params.settings)
    system, point = make_codec(family).system, next(iter(family.encodings().values()))
    rows = []
    for item in params.hierarchy:
        dataset, shard = item["dataset"], shard_of(item["image"], params.shards)
        home = results / "datasets" / dataset
        record = find_record(read_records(home / "shards" / f"{shard}.csv"), item["image"])
        image, _ = read_image(home / "images" / str(shard) / record.path)
        streams = results / "streams" / dataset / family.name / f"{shard}.zip"
        stream = stored_stream(streams, point, item["image"])
        if stream is None:
            raise MeasurementError(f"{dataset}, {item['image']}: not encoded; see the failures")
        where = {"dataset": dataset, "image": item["image"]}
        rows += [where | row for row in framework_rows(system, image, stream)]
    write_csv(pd.DataFrame(rows, columns=list(COLUMNS)), Path(snakemake.output[0]))
