"""Complexity of Diff-ICMH."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.codecs.diff_icmh.model_folder import NAME
from icmbench.evaluation.shard import make_codec_entry
from icmbench.jobs.figures import save_figure
from icmbench.reporting.figures.complexity import complexity_figure
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.studies.complexity import complexity_table


def complexity(
    codec: str, *, settings: Mapping[str, Any], table: Path, figures: Sequence[Path]
) -> None:
    """Tabulate and draw the cost of Diff-ICMH, beside the published configuration.

    Args:
        codec: an entry of Diff-ICMH.
        settings: of `make_codec_entry`.
        table, figures: the files to write.
    """
    setup = make_codec_entry(codec, settings).setup
    found = complexity_table(setup.models / NAME if setup.models else None, setup.device)
    write_csv(found, table)
    figure = complexity_figure(found, title=f"{codec}: seconds by stage")
    save_figure("complexity", figure, figures)
