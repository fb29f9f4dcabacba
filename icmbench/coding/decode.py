"""The decoding job: a fresh process that sees stream files and the model folder, nothing else."""

from __future__ import annotations

import io
import logging
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage
from tqdm import tqdm

from icmbench.codecs.base import Image
from icmbench.codecs.strings import Point
from icmbench.coding import archive
from icmbench.coding.pool import CodecProcess, Failed
from icmbench.coding.shard import (
    DECODED,
    ENCODED,
    TIMING,
    Family,
    Patience,
    read_rows,
    timing_row,
    write_rows,
)
from icmbench.images import pixel_sha256

log = logging.getLogger(__name__)


def decode_shard(
    family: Family,
    dataset: str,
    *,
    streams: Path,
    encoded: Path,
    pictures: Path,
    status: Path,
    timing: Path,
) -> None:
    """Decode every stream of a shard at every point of the family.

    Each point's file is really written (for an embedded codec: after truncation) and it is that
    file's size that is reported.

    Args:
        streams, encoded: what `encode_shard` wrote.
        pictures: zip of PNGs that is written, one member per codec string and image.
        status: CSV that is written, one row per codec string and image; failed encodings too.
        timing: CSV of seconds that is written.
    """
    rows: list[dict[str, Any]] = []
    seconds: list[dict[str, Any]] = []
    patience = Patience()
    before = read_rows(encoded, ENCODED)
    points: dict[str, list[Point]] = {}
    for point in family.points:
        points.setdefault(point.encoding, []).append(point)
    with (
        archive.reader(streams) as source,
        archive.create(pictures) as out,
        CodecProcess(family.setup) as process,
        tempfile.TemporaryDirectory(prefix="icmbench-") as scratch,
    ):
        for coded in tqdm(before, desc=f"decode {family.name}", unit="stream", disable=None):
            for point in points[coded["encoding"]]:
                row = {"codec": point.string, "device": process.device, **coded}
                if coded["status"] == "ok":
                    file = Path(scratch) / "stream"
                    try:
                        _extract(source, point, coded["image"], file)
                        answer = _decode(process, patience, point, file)
                    except Failed as failure:
                        row |= {"status": f"decode-{failure.code}", "detail": failure.detail}
                        log.warning("%s, %s: %s", point.string, coded["image"], failure.detail)
                    else:
                        image = answer["image"]
                        out.add(archive.picture_member(point.string, coded["image"]), _png(image))
                        row |= {"digest": pixel_sha256(image)[:16], "device": process.device}
                        where = {
                            "dataset": dataset,
                            "family": family.name,
                            "image": coded["image"],
                        }
                        what = {"stage": "decode", "codec": point.string}
                        what["encoding"] = point.encoding
                        pixels = image.shape[0] * image.shape[1]
                        seconds.append({**where, **what, **timing_row(process, answer, pixels)})
                    row["bytes"] = str(file.stat().st_size)
                    patience.note(point.string, row["status"])
                rows.append(row)
    write_rows(status, DECODED, rows)
    write_rows(timing, TIMING, seconds)


def decode_one(family: Family, streams: Path, point: Point, image_id: str) -> Image:
    """The picture of one member of a shard's streams, decoded as `decode_shard` does."""
    with (
        archive.reader(streams) as source,
        CodecProcess(family.setup) as process,
        tempfile.TemporaryDirectory(prefix="icmbench-") as scratch,
    ):
        file = Path(scratch) / "stream"
        _extract(source, point, image_id, file)
        picture: Image = _decode(process, Patience(), point, file)["image"]
        return picture


def _extract(source: zipfile.ZipFile, point: Point, image_id: str, file: Path) -> None:
    extension = point.codec.file_extension(**dict(point.encode))
    file.write_bytes(source.read(archive.stream_member(point.encoding, image_id, extension)))


def _decode(process: CodecProcess, patience: Patience, point: Point, file: Path) -> dict[str, Any]:
    patience.check(point.string)
    if point.codec.cut_keys:
        file.write_bytes(process.call("truncate", point.cut, path=str(file))["stream"])
    return process.call("decode", point.decode, path=str(file))


def _png(image: Image) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
