"""Tables of rates, distortions and BD-rates, of failures and of remarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.core.files import write_json
from icmbench.datasets.records import read_records
from icmbench.jobs.frames import join_parquet
from icmbench.metrics import METRICS
from icmbench.reporting.statistics.comparison import comparison_set, describe
from icmbench.reporting.tables.bd_rate import bd_rate_table
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.failures import failures_table
from icmbench.reporting.tables.head_notes import head_notes, joined
from icmbench.reporting.tables.rd import rd_table
from icmbench.reporting.tables.remarks import remarks_table
from icmbench.reporting.tables.scale_notes import scale_notes


def rd_tables(
    *,
    metrics: Sequence[str],
    anchors: Sequence[str],
    datasets: Sequence[str],
    bootstrap: Mapping[str, Any],
    comparison_settings: Mapping[str, Any],
    scales: Mapping[str, Sequence[Sequence[str]]],
    heads: Mapping[str, int],
    measurements: Sequence[Path],
    manifests: Sequence[Path],
    rd: Path,
    bd_rate: Path,
    failures: Path,
    remarks: Path,
    comparison: Path,
) -> None:
    """Write the RD table, the BD-rate table, failures, remarks, and the images compared.

    Args:
        datasets: names of the data sets, in the order of `manifests`.
        bootstrap, comparison_settings: sections of the configuration.
        scales: by codec entry, codec specs in the order of the key that steers their rate.
        heads: by codec entry, fixed bytes of its files (`Codec.head_bytes`).
        rd, bd_rate, failures, remarks, comparison: the files to write.
    """
    rows = join_parquet(measurements)
    seed, max_failed = bootstrap["seed"], comparison_settings["max_failed"]
    resamples = bootstrap["resamples"]
    directions = {name: METRICS[name].higher_is_better for name in metrics}
    table = rd_table(rows, metrics, resamples=resamples, seed=seed, max_failed=max_failed)
    notes = joined(scale_notes(table, scales, directions), head_notes(table, rows, heads))
    write_csv(table.assign(note=notes), rd)
    bd_rates = bd_rate_table(
        rows,
        directions,
        anchors,
        resamples=bootstrap["bd_resamples"],
        seed=seed,
        min_overlap=comparison_settings["min_overlap"],
        max_failed=max_failed,
    )
    write_csv(bd_rates, bd_rate)
    refused = [
        (dataset, record.image, record.status.removeprefix("refused: "))
        for dataset, path in zip(datasets, manifests, strict=True)
        for record in read_records(path)
        if record.status != "ok"
    ]
    write_csv(failures_table(rows, refused), failures)
    write_csv(remarks_table(rows), remarks)
    write_json(comparison, describe(comparison_set(rows, max_failed, metrics)))
