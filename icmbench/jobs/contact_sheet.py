"""The contact sheet of a data set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.core.images.image_files import read_image, write_png
from icmbench.datasets.records import read_records, shard_of, usable
from icmbench.reporting.figures.contact import contact_sheet as draw_sheet

Picture = NDArray[np.uint8]

IMAGES: Final = 24
COLUMNS: Final = 6


def contact_sheet(
    *,
    manifest: Path,
    images: Sequence[Path],
    shards: int,
    split: str,
    annotated: bool,
    figure: Path,
) -> None:
    """Draw the first images of a data set in a grid, with their annotations if `annotated`.

    Args:
        images: folders of the shards, in order.
    """
    records = usable(read_records(manifest), split)[:IMAGES]
    shown = []
    for record in records:
        folder = images[shard_of(record.image, shards)]
        image, _ = read_image(folder / record.path)
        if annotated and record.annotation:
            image = _annotated(image, json.loads((folder / record.annotation).read_text("utf-8")))
        shown.append(image)
    cell = 320 if annotated else 256
    write_png(figure, draw_sheet(shown, [record.image for record in records], COLUMNS, cell))


def _annotated(image: Picture, annotation: Any) -> Picture:
    """An image with a scene's annotation, or with the outlines of a list of symbols or lines."""
    if isinstance(annotation, list):
        from icmbench.pasted.outlines import draw_outlines

        return draw_outlines(image, [each.get("corners") or each["box"] for each in annotation])
    from icmbench.scenes import draw_annotations

    return draw_annotations(image, annotation)
