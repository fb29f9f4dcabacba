"""Join the images' annotations into one COCO file and one file of landmarks."""

import os
from pathlib import Path

from icmbench.core.files import write_json
from icmbench.core.joblog import log_to
from icmbench.datasets.base import shard_of
from icmbench.datasets.manifest import read_records
from icmbench.datasets.registry import make_dataset

with log_to(snakemake.log[0]):
    params = snakemake.params
    results = Path(snakemake.config["results"])
    dataset = make_dataset(
        snakemake.wildcards.dataset, params.entry, Path(params.downloads), results
    )
    folders = [Path(folder) for folder in snakemake.input.images]
    records = read_records(Path(snakemake.input.manifest))
    folder_of = {r.image: folders[shard_of(r.image, params.shards)] for r in records}
    merged = dataset.merge_annotations(folder_of)
    write_json(snakemake.output.instances, merged.instances)
    write_json(snakemake.output.landmarks, merged.landmarks)
    write_json(snakemake.output.classes, merged.classes)
    # Relative paths below the results, so that they can be moved as a whole.
    home = Path(snakemake.output.semantic).parent
    maps = {
        image: os.path.relpath(path, home) if path.is_relative_to(results) else str(path.resolve())
        for image, path in merged.semantic.items()
    }
    write_json(snakemake.output.semantic, {"ignore": merged.ignore, "maps": maps})
