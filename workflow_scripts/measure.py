"""Measure the pictures of one shard against the originals."""

from pathlib import Path

from icmbench.core.joblog import log_to
from icmbench.datasets.manifest import read_records, usable
from icmbench.evaluation.measure import check_measurements, measure_shard, write_measurements
from icmbench.evaluation.sharing import measured
from icmbench.metrics.meter import Meter

with log_to(snakemake.log[0]):
    params = snakemake.params
    frame = measure_shard(
        snakemake.wildcards.dataset,
        snakemake.wildcards.codec,
        usable(read_records(Path(snakemake.input.records)), params.split),
        Path(snakemake.input.images),
        Meter(params.available, params.weights and Path(params.weights), params.device),
        pictures=Path(snakemake.input.pictures),
        decoded=Path(snakemake.input.decoded),
        known=measured(params.shared, snakemake.input.shared, snakemake.wildcards.codec),
    )
    check_measurements(
        frame, Path(snakemake.scriptdir).parent / "schemas" / "measurements.schema.json"
    )
    write_measurements(Path(snakemake.output[0]), frame)
