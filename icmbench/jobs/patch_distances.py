"""FID and KID of one codec entry on one data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.jobs.frames import join_parquet
from icmbench.reporting.statistics.comparison import comparison_set
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.distribution import distribution_rows


def patch_distances(
    dataset: str,
    codec: str,
    *,
    metrics: Sequence[str],
    minimum: int,
    comparison: Mapping[str, Any],
    measurements: Sequence[Path],
    originals: Sequence[Path],
    features: Sequence[Path],
    distances: Path,
) -> None:
    """Compare the patches of every codec spec of an entry with those of the originals.

    Args:
        codec: name of the codec entry.
        metrics, comparison: as for `rd.csv`: the same images are compared.
        minimum: fewer patches have no value.
        measurements: of all codec entries on the data set.
        originals, features: features of the originals and of the reconstructions, by shard.
        distances: the table to write.
    """
    rows = join_parquet(measurements)
    chosen = comparison_set(rows, comparison["max_failed"], metrics)
    found = distribution_rows(
        rows[rows["family"] == codec], chosen[dataset], originals, features, minimum=minimum
    )
    write_csv(found, distances)
