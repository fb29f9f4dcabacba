"""Provenance of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icmbench.core.files import write_json
from icmbench.reporting.report import provenance as report
from icmbench.reporting.tables.csv_files import write_csv


def provenance(
    *,
    config: Mapping[str, Any],
    unavailable: Mapping[str, str],
    weights: Mapping[str, str],
    root: Path,
    provenance: Path,
    codecs: Path,
) -> None:
    """Write versions, hardware and configuration, and the settings of every codec.

    Args:
        unavailable: what the run lacks, and why.
        weights: codec entry -> name of its weight files.
        root: folder of the workflow.
        provenance, codecs: the files to write.
    """
    write_json(provenance, report.provenance(config, root, unavailable, weights))
    write_csv(report.codecs_table(config, weights), codecs)
