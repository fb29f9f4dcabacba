"""Figures of Diff-ICMH: reconstructions at every rate, and unconditional samples of the prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from icmbench.evaluation.decode import decoding
from icmbench.evaluation.shard import make_codec_entry
from icmbench.jobs.figures import save_figure
from icmbench.jobs.places import Place, files_of, record_of
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.studies.diffusion import COLUMNS, draw_image, make_icmh


def diffusion_pictures(
    codec: str,
    *,
    settings: Mapping[str, Any],
    places: Sequence[Place],
    samples: Sequence[str],
    table: Path,
    figures: Sequence[Path],
) -> None:
    """Draw images at every rate of Diff-ICMH and samples of its prior; tabulate both accountings.

    Args:
        codec: an entry of Diff-ICMH.
        settings: of `make_codec_entry`.
        samples: the second figure of every place.
        table, figures: the files to write.
    """
    entry = make_codec_entry(codec, settings)
    network = make_icmh(entry)
    rows = []
    with decoding() as decode:
        for place, name in zip(places, samples, strict=True):
            drawn = draw_image(
                place["dataset"],
                record_of(place),
                Path(place["images"]),
                files_of(place, "streams")[codec],
                entry,
                network,
                decode,
            )
            rows += drawn.rows
            save_figure(place["figure"], drawn.rates, figures)
            save_figure(name, drawn.alone, figures)
    write_csv(pd.DataFrame(rows, columns=list(COLUMNS)), table)
