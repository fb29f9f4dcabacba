"""Reconstructions of one shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.evaluation.decode import decode_shard
from icmbench.evaluation.shard import make_codec_entry
from icmbench.evaluation.sharing import shared_of


def decode(
    dataset: str,
    codec: str,
    *,
    settings: Mapping[str, Any],
    streams: Path,
    encoded: Path,
    pictures: Path,
    status: Path,
    timing: Path,
    shared: Mapping[str, Sequence[str]] | None = None,
    shared_files: Sequence[Path] = (),
    compress: bool = True,
) -> None:
    """Decode the streams of one shard in a process that reads nothing else.

    Args:
        codec: name of the codec entry.
        settings: of `make_codec_entry`.
        streams, encoded: the archive and the status table of the encoding job.
        pictures, status, timing: the archive and the tables to write.
        shared: by earlier entry, the codec specs that are copied from it.
        shared_files: archive, status and timing of every entry of `shared`, in order.
        compress: the PNGs; False for temporary ones.
    """
    decode_shard(
        make_codec_entry(codec, settings),
        dataset,
        streams=streams,
        encoded=encoded,
        pictures=pictures,
        status=status,
        timing=timing,
        shared=shared_of(shared or {}, [str(path) for path in shared_files]),
        compress=compress,
    )
