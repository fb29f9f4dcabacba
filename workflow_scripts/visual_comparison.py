"""One image, every codec at about the same rate, side by side."""

from pathlib import Path

import pandas as pd

from icmbench.codecs.strings import parse_string
from icmbench.coding.decode import decode_one
from icmbench.coding.shard import make_family
from icmbench.datasets.manifest import find_record, read_records
from icmbench.images import read_image
from icmbench.joblog import log_to
from icmbench.reporting.figures.matching import matched_rate, unmatched_families
from icmbench.reporting.figures.style import save
from icmbench.reporting.figures.visual import Entry, visual_comparison

with log_to(snakemake.log[0]):
    params, item = snakemake.params, snakemake.params.item
    record = find_record(read_records(Path(snakemake.input.records)), item["image"])
    original, _ = read_image(Path(snakemake.input.images) / record.path)
    parts = [pd.read_parquet(path) for path in snakemake.input.measurements]
    rows = pd.concat(parts, ignore_index=True)
    streams = {Path(path).parent.name: Path(path) for path in snakemake.input.streams}
    chosen = matched_rate(rows, item["dataset"], record.image, item["bpp"])
    entries = []
    for row in chosen.itertuples():
        family = make_family(row.family, params.settings[row.family])
        point = parse_string(row.codec)
        image = decode_one(family, streams[row.family], point, record.image)
        entries.append(Entry(row.family, row.codec, row.bpp, row.psnr_rgb, image))
    figure = visual_comparison(
        original,
        entries,
        title=f"{item['dataset']}: {record.image} at about {item['bpp']} bits per pixel",
        left_out=unmatched_families(rows, chosen, item["dataset"], record.image),
    )
    first = Path(snakemake.output[0])
    save(figure, first.parent / first.stem)
