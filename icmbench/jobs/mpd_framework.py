"""Numbers of MPD's framework, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from icmbench.core.errors import MeasurementError
from icmbench.evaluation.shard import make_codec_entry
from icmbench.jobs.places import Place, files_of, image_of
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.studies.framework import COLUMNS, framework_rows
from icmbench.studies.states import make_codec, stored_stream


def mpd_framework(
    codec: str, *, settings: Mapping[str, Any], places: Sequence[Place], table: Path
) -> None:
    """Tabulate the stages of MPD for some images.

    Args:
        codec: an entry of MPD.
        settings: of `make_codec_entry`.

    Raises MeasurementError where an image was not encoded.
    """
    entry = make_codec_entry(codec, settings)
    model, point = make_codec(entry).model, next(iter(entry.encodings().values()))
    rows = []
    for place in places:
        where = {"dataset": place["dataset"], "image": place["image"]}
        stream = stored_stream(files_of(place, "streams")[codec], point, place["image"])
        if stream is None:
            text = f"{place['dataset']}, {place['image']}: not encoded; see failures.csv"
            raise MeasurementError(text)
        rows += [where | row for row in framework_rows(model, image_of(place), stream)]
    write_csv(pd.DataFrame(rows, columns=list(COLUMNS)), table)
