"""Measurements of one shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from icmbench.core.files import write_parquet
from icmbench.datasets.records import read_records, usable
from icmbench.evaluation.measure import check_measurements, measure_shard, measured
from icmbench.metrics.meter import Meter


def measure(
    dataset: str,
    codec: str,
    *,
    available: Sequence[str],
    weights: str | None,
    device: str,
    split: str,
    lossless: bool,
    root: Path,
    records: Path,
    images: Path,
    pictures: Path,
    decoded: Path,
    measurements: Path,
    shared: Mapping[str, Sequence[str]] | None = None,
    shared_files: Sequence[Path] = (),
) -> None:
    """Measure the reconstructions of one shard against the originals.

    Args:
        codec: name of the codec entry.
        available: metrics to compute.
        weights: folder of the learned metrics' weight files.
        lossless: the entry's reconstructions must equal the originals.
        root: folder of the workflow, which holds the schema of measurements.
        records, images: the shard's list and folder.
        pictures, decoded: the archive and the status table of the decoding job.
        measurements: the table to write.
        shared: by earlier entry, the codec specs whose rows are copied from it.
        shared_files: measurements of every entry of `shared`, in order.
    """
    frame = measure_shard(
        dataset,
        codec,
        usable(read_records(records), split),
        images,
        Meter(available, Path(weights) if weights else None, device),
        pictures=pictures,
        decoded=decoded,
        lossless=lossless,
        known=measured(shared or {}, [str(path) for path in shared_files], codec),
    )
    check_measurements(frame, root / "schemas" / "measurements.schema.json")
    write_parquet(measurements, frame)
