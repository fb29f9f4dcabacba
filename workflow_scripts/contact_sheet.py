"""A grid of a data set's pictures, with their annotations drawn where there are any."""

import json
from pathlib import Path

from icmbench.core.images.image_files import read_image, write_png
from icmbench.core.joblog import log_to
from icmbench.datasets.base import shard_of
from icmbench.datasets.manifest import read_records, usable
from icmbench.reporting.figures.contact import contact_sheet

MOST = 24

with log_to(snakemake.log[0]):
    params = snakemake.params
    folders = [Path(folder) for folder in snakemake.input.images]
    records = usable(read_records(Path(snakemake.input.manifest)), params.split)[:MOST]
    images = []
    for record in records:
        folder = folders[shard_of(record.image, params.shards)]
        image, _ = read_image(folder / record.path)
        if params.annotated and record.annotation:
            from icmbench.scenes import draw_annotations

            image = draw_annotations(
                image, json.loads((folder / record.annotation).read_text("utf-8"))
            )
        images.append(image)
    cell, columns = (320, 6) if params.annotated else (256, 6)
    sheet = contact_sheet(images, [record.image for record in records], columns, cell)
    write_png(snakemake.output[0], sheet)
