"""Streams of one shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.codecs.registry import codec_class
from icmbench.datasets.records import read_records, usable
from icmbench.evaluation.encode import encode_shard
from icmbench.evaluation.imported import import_shard
from icmbench.evaluation.shard import make_codec_entry
from icmbench.evaluation.sharing import shared_of


def encode(
    dataset: str,
    codec: str,
    *,
    settings: Mapping[str, Any],
    split: str,
    records: Path,
    images: Path,
    streams: Path,
    status: Path,
    timing: Path,
    shared: Mapping[str, Sequence[str]] | None = None,
    shared_files: Sequence[Path] = (),
) -> None:
    """Encode the images of one shard at every encoding of a codec entry.

    Of a folder of results made elsewhere, take the shard's into the archive.

    Args:
        codec: name of the codec entry.
        settings: of `make_codec_entry`.
        records, images: the shard's list and folder.
        streams, status, timing: the archive and the tables to write.
        shared: by earlier entry, the encodings that are copied from it.
        shared_files: archive, status and timing of every entry of `shared`, in order.
    """
    entry, found = make_codec_entry(codec, settings), usable(read_records(records), split)
    if codec_class(entry.codec).foreign:
        import_shard(entry, dataset, found, streams=streams, status=status, timing=timing)
        return
    encode_shard(
        entry,
        dataset,
        found,
        images,
        streams=streams,
        status=status,
        timing=timing,
        shared=shared_of(shared or {}, [str(path) for path in shared_files]),
    )
