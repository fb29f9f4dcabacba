"""Levels of MPD's embedded streams."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icmbench.datasets.records import read_records, usable
from icmbench.evaluation.shard import make_codec_entry
from icmbench.studies.states import write_states


def mpd_states(
    dataset: str,
    codec: str,
    *,
    settings: Mapping[str, Any],
    split: str,
    records: Path,
    images: Path,
    streams: Path,
    states: Path,
) -> None:
    """Tabulate the levels of the MPD streams of one shard; `settings` as in `make_codec_entry`."""
    chosen = usable(read_records(records), split)
    entry = make_codec_entry(codec, settings)
    write_states(entry, dataset, chosen, images, streams=streams, out=states)
