"""Damaged streams of a codec entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.core.files import write_parquet
from icmbench.evaluation.robustness import Shard, choose_subjects, damage_trials
from icmbench.evaluation.shard import make_codec_entry


def robustness(
    dataset: str,
    codec: str,
    *,
    settings: Mapping[str, Any],
    robustness: Mapping[str, Any],
    split: str,
    records: Sequence[Path],
    images: Sequence[Path],
    streams: Sequence[Path],
    trials: Path,
) -> None:
    """Damage the streams of a codec entry's middle point and decode the results.

    Args:
        codec: name of the codec entry.
        settings: of `make_codec_entry`.
        robustness: the section of the configuration.
        records, images, streams: lists, folders and archives of the shards, in one order.
        trials: the table to write.
    """
    shards = [Shard(*paths) for paths in zip(records, images, streams, strict=True)]
    frame = damage_trials(
        make_codec_entry(codec, settings),
        dataset,
        choose_subjects(shards, split, robustness["images"]),
        trials=robustness["trials"],
        seed=robustness["seed"],
        seconds=robustness["seconds"],
    )
    write_parquet(trials, frame)
