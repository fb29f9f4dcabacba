"""Palette hierarchies of single images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.evaluation.shard import make_codec_entry
from icmbench.jobs.figures import save_figure
from icmbench.jobs.places import Place, files_of, record_of
from icmbench.studies.hierarchies import hierarchy_figure


def palette_hierarchy(
    codec: str, *, settings: Mapping[str, Any], places: Sequence[Place], figures: Sequence[Path]
) -> None:
    """Draw the palette hierarchy of images level by level.

    Args:
        codec: an entry of MPD.
        settings: of `make_codec_entry`.
    """
    entry = make_codec_entry(codec, settings)
    for place in places:
        figure = hierarchy_figure(
            place["dataset"],
            record_of(place),
            Path(place["images"]),
            files_of(place, "streams")[codec],
            entry,
        )
        save_figure(place["figure"], figure, figures)
