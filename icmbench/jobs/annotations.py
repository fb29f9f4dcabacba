"""Annotations of a data set. The function takes the name of the usual `__future__` import."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.core.files import write_json
from icmbench.datasets.records import read_records, shard_of
from icmbench.datasets.registry import make_dataset


def annotations(
    dataset: str,
    *,
    entry: Mapping[str, Any],
    downloads: Path | str,
    shards: int,
    results: Path,
    manifest: Path,
    images: Sequence[Path],
    instances: Path,
    landmarks: Path,
    classes: Path,
    semantic: Path,
    more: Path,
    sources: Path | str | None = None,
) -> None:
    """Join the images' annotations into one file per kind, and one of all further kinds.

    Args:
        images: folders of the shards, in order.
        instances, landmarks, classes, semantic, more: the files to write; other arguments as in
            `dataset_shard`.
    """
    source = make_dataset(dataset, entry, Path(downloads), results, sources)
    records = read_records(manifest)
    merged = source.merge_annotations({r.image: images[shard_of(r.image, shards)] for r in records})
    write_json(instances, merged.instances)
    write_json(landmarks, merged.landmarks)
    write_json(classes, merged.classes)
    write_json(more, merged.more)
    # Relative paths below the results, so that they can be moved as a whole.
    home = semantic.parent
    maps = {
        image: os.path.relpath(path, home) if path.is_relative_to(results) else str(path.resolve())
        for image, path in merged.semantic.items()
    }
    write_json(semantic, {"ignore": merged.ignore, "maps": maps})
