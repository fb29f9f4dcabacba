"""The encoding job: all encodings of one codec entry for the images of one shard."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from icmbench.codecs.base import Image
from icmbench.codecs.specs import OperatingPoint
from icmbench.core.images.image_files import read_image
from icmbench.core.progress import progress
from icmbench.datasets.records import Record
from icmbench.evaluation import archive
from icmbench.evaluation.codec_process import CodecProcess, Failed
from icmbench.evaluation.shard import (
    ENCODED,
    TIMING,
    CodecEntry,
    Patience,
    count_operations,
    timing_row,
    write_rows,
)
from icmbench.evaluation.sharing import Shared, Taken

log = logging.getLogger(__name__)


def encode_shard(
    entry: CodecEntry,
    dataset: str,
    records: Sequence[Record],
    folder: Path,
    *,
    streams: Path,
    status: Path,
    timing: Path,
    shared: Sequence[Shared] = (),
) -> None:
    """Encode every record at every encoding of a codec entry.

    Args:
        folder: where the records' relative paths start.
        streams: zip that is written, one member per encoding and image.
        status: CSV that is written, one row per encoding and image, failures included.
        timing: CSV of seconds that is written.
        shared: encodings that earlier entries have: their streams are copied.
    """
    taken = Taken(shared, "encoding", ENCODED)
    rows: list[dict[str, Any]] = []
    seconds: list[dict[str, Any]] = []
    patience = Patience()
    setup = replace(entry.setup, decodes=False)
    with archive.create(streams) as out, CodecProcess(setup) as process:
        for record in progress(records, desc=f"encode {entry.name}", unit="image"):
            image, _ = read_image(folder / record.path)
            for encoding, point in entry.encodings().items():
                extension = point.codec.file_extension(**dict(point.encode))
                name = archive.stream_member(encoding, record.image, extension)
                if encoding in taken:
                    rows.append(taken.row(encoding, record.image))
                    seconds += taken.seconds(encoding, record.image, entry.name)
                    if rows[-1]["status"] == "ok":
                        taken.copy(encoding, name, out)
                    continue
                row = {"encoding": encoding, "image": record.image, "status": "ok"}
                try:
                    answer = _encode(process, patience, point, image)
                except Failed as failure:
                    row |= {"status": f"encode-{failure.code}", "detail": failure.detail}
                    log.warning("%s, %s: %s", encoding, record.image, failure.detail)
                else:
                    out.add(name, answer["stream"])
                    row["bytes"] = str(len(answer["stream"]))
                    if remark := answer["remark"]:
                        row["detail"] = remark
                        log.info("%s, %s: %s", encoding, record.image, remark)
                    where = {"dataset": dataset, "family": entry.name, "image": record.image}
                    what = {"stage": "encode", "codec": encoding, "encoding": encoding}
                    pixels = image.shape[0] * image.shape[1]
                    seconds.append({**where, **what, **timing_row(process, answer, pixels)})
                patience.note(encoding, row["status"])
                rows.append(row)
        count_operations(process, entry.encodings(), seconds, decode=False)
    write_rows(status, ENCODED, rows)
    write_rows(timing, TIMING, seconds)


def _encode(
    process: CodecProcess, patience: Patience, point: OperatingPoint, image: Image
) -> dict[str, Any]:
    patience.check(point.encoding)
    answer = process.call("encode", point.encode, image=image)
    if not isinstance(answer["stream"], bytes):
        raise Failed("failed", f"encode returned {type(answer['stream']).__name__}, not bytes")
    if not answer["stream"]:
        raise Failed("failed", "encode returned an empty stream")
    return answer
