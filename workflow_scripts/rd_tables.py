"""The RD table, the BD-rate table, failures, remarks, and which images were compared."""

from pathlib import Path

import pandas as pd

from icmbench.core.files import write_json
from icmbench.core.joblog import log_to
from icmbench.datasets.manifest import read_records
from icmbench.metrics import METRICS
from icmbench.reporting.statistics.comparison import comparison_set, describe
from icmbench.reporting.tables.bd_rate import bd_rate_table
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.failures import failures_table
from icmbench.reporting.tables.rd import rd_table
from icmbench.reporting.tables.remarks import remarks_table

with log_to(snakemake.log[0]):
    params, out = snakemake.params, snakemake.output
    rows = pd.concat(
        [pd.read_parquet(path) for path in snakemake.input.measurements], ignore_index=True
    )
    seed, failed = params.bootstrap["seed"], params.comparison["max_failed"]
    rd = rd_table(
        rows,
        params.metrics,
        resamples=params.bootstrap["resamples"],
        seed=seed,
        max_failed=failed,
    )
    write_csv(rd, Path(out.rd))
    bd_rate = bd_rate_table(
        rows,
        {name: METRICS[name].higher_is_better for name in params.metrics},
        params.anchors,
        resamples=params.bootstrap["bd_resamples"],
        seed=seed,
        min_overlap=params.comparison["min_overlap"],
        max_failed=failed,
    )
    write_csv(bd_rate, Path(out.bd_rate))
    refused = [
        (Path(path).parent.name, record.image, record.status.removeprefix("refused: "))
        for path in snakemake.input.manifests
        for record in read_records(Path(path))
        if record.status != "ok"
    ]
    write_csv(failures_table(rows, refused), Path(out.failures))
    write_csv(remarks_table(rows), Path(out.remarks))
    write_json(out.comparison, describe(comparison_set(rows, failed, params.metrics)))
