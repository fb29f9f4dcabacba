"""The encoding job of results made elsewhere: reconstructions and sizes are taken as they are.

The archive of "streams" holds the reconstructions; the status table has the sizes of the streams,
which are the rates. Nothing is timed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from icmbench.codecs.external import NOT_OURS
from icmbench.codecs.external.folder_files import find_results, results_folder
from icmbench.codecs.registry import codec_class
from icmbench.datasets.records import Record
from icmbench.evaluation import archive
from icmbench.evaluation.shard import ENCODED, TIMING, CodecEntry, write_rows


def import_shard(
    entry: CodecEntry,
    dataset: str,
    records: Sequence[Record],
    *,
    streams: Path,
    status: Path,
    timing: Path,
) -> None:
    """Take the results of a shard's images at every point of an entry.

    Args:
        streams: zip that is written, one reconstruction per point and image.
        status: CSV that is written, one row each; what is missing has the status `missing`.
        timing: CSV that is written, without a row.
    """
    rows = []
    images = [record.image for record in records]
    definition = codec_class(entry.codec).definition or {}
    path = results_folder(definition)
    with archive.create(streams) as out:
        for encoding, point in entry.encodings().items():
            name = str(dict(point.encode)["point"])
            extension = point.codec.file_extension(**dict(point.encode))
            for image, result in find_results(path, dataset, name, images).found.items():
                row = {"encoding": encoding, "image": image}
                if result.picture is None or result.bytes is None:
                    lacking = "picture" if result.picture is None else "stream and no size"
                    detail = f"no {lacking} of {image} in {name} of {path}"
                    rows.append({**row, "status": "missing", "detail": detail})
                    continue
                try:
                    picture = result.picture.read_bytes()
                except OSError as error:
                    detail = f"{result.picture}: {error.strerror}"
                    rows.append({**row, "status": "missing", "detail": detail})
                    continue
                out.add(archive.stream_member(encoding, image, extension), picture)
                size = {"bytes": str(result.bytes), "detail": NOT_OURS}
                rows.append({**row, "status": "ok", **size})
    write_rows(status, ENCODED, rows)
    write_rows(timing, TIMING, [])
