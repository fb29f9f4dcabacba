"""Visual comparisons of codecs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.evaluation.decode import decoding
from icmbench.evaluation.shard import make_codec_entry
from icmbench.jobs.figures import save_figure
from icmbench.jobs.frames import join_parquet
from icmbench.jobs.places import Place, files_of, record_of
from icmbench.studies.visuals import match_image, visual_figure, write_viewer_images


def visual_comparison(
    *,
    settings: Mapping[str, Mapping[str, Any]],
    places: Sequence[Place],
    figures: Sequence[Path],
    viewers: Sequence[Path],
) -> None:
    """Draw images and their reconstructions by every codec at about the same rate.

    Args:
        settings: of `make_codec_entry`, by codec entry.
        places: with the rate, `bpp`.
        viewers: archives of the same images for the report's viewer, in the order of the places.
    """
    entries = {name: make_codec_entry(name, each) for name, each in settings.items()}
    with decoding() as decode:
        for place, viewer in zip(places, viewers, strict=True):
            matched = match_image(
                place["dataset"],
                record_of(place),
                Path(place["images"]),
                place["bpp"],
                join_parquet([*files_of(place, "measurements").values()]),
                files_of(place, "streams"),
                entries,
                decode,
            )
            save_figure(place["figure"], visual_figure(matched), figures)
            write_viewer_images(matched, viewer)
