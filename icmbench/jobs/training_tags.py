"""Tags of one shard of a training set, predicted by RAM++."""

from __future__ import annotations

from pathlib import Path


def training_tags(
    source: str,
    shard: int | str,
    *,
    shards: int,
    records: Path,
    images: Path,
    tagger: Path,
    device: str,
    threads: int,
    tags: Path,
) -> None:
    """Tag every usable image of a shard once, as a whole.

    Args:
        shards: number of shards of the run.
        records, images: list and folder of the training set.
        tagger: weight file of RAM++.
        device: as in the configuration.
        threads: of torch.
        tags: the file to write.

    Raises ModelError for another weight file, DatasetError for an image that has changed since
    it was listed.
    """
    import numpy as np
    import torch

    from icmbench.codecs.diff_icmh.tagging import ImageTagging, load_ram_plus
    from icmbench.core.devices import use_device
    from icmbench.core.progress import progress
    from icmbench.datasets.records import shard_of
    from icmbench.training.image_tags import write_image_tags
    from icmbench.training.images import ImageFiles
    from icmbench.training.records import read_training_records

    torch.set_num_threads(threads)
    own = [r for r in read_training_records(records) if shard_of(r.image, shards) == int(shard)]
    shapes = np.array([(record.height, record.width) for record in own], np.int64).reshape(-1, 2)
    pixels = [record.pixels for record in own]
    files = ImageFiles([images / record.path for record in own], shapes, pixels, cache_mb=0)
    used = use_device(device)
    tagging = ImageTagging(load_ram_plus(tagger).to(used), used)
    nothing = np.zeros((0, 0, 0), np.float32)  # RAM++ takes no latent
    bar = progress(own, desc=f"{source}: tags", unit="image")
    rows = [
        (record.image, record.pixels, tagging(files[number], nothing))
        for number, record in enumerate(bar)
    ]
    write_image_tags(tags, rows)
