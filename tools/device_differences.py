"""Decode the same streams on two devices and print how far the reconstructions agree, per codec.

    python tools/device_differences.py config.yaml                     cpu against cuda
    python tools/device_differences.py config.yaml --devices cpu cpu   without a GPU: all is equal
    python tools/device_differences.py config.yaml --images 8 --out differences.csv

Every entry whose codec has networks encodes the first images of each data set on the first device;
both devices decode these streams at every point, each in codec processes of its own. `streams`:
how many of the second device's own streams are equal, byte for byte. Models are those of the run
(`results/models`), or the bundled ones where the run has made none.
"""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from icmbench.codecs.registry import codec_class
from icmbench.codecs.specs import parse_spec
from icmbench.config.models import coding_settings
from icmbench.config.run import Run, make_run
from icmbench.core.errors import IcmbenchError
from icmbench.datasets.base import Dataset
from icmbench.datasets.records import Record
from icmbench.evaluation import archive
from icmbench.evaluation.agreement import AGREEMENT, agreement
from icmbench.evaluation.decode import decode_shard
from icmbench.evaluation.encode import encode_shard
from icmbench.evaluation.shard import DECODED, CodecEntry, make_codec_entry, read_rows
from icmbench.evaluation.units import entry_on, units
from icmbench.reporting.tables.csv_files import write_csv

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="configuration of a run")
    parser.add_argument("--devices", nargs=2, default=["cpu", "cuda"], choices=["cpu", "cuda"])
    parser.add_argument("--images", type=int, default=4, help="of each data set; default: 4")
    parser.add_argument("--out", type=Path, help="write the rows of all streams as CSV, too")
    given = parser.parse_args()
    text = given.config.read_text(encoding="utf-8")
    try:
        run = make_run(yaml.safe_load(text))
        frame = pd.DataFrame(differences(run, given.devices, given.images))
    except IcmbenchError as error:
        raise SystemExit(f"device_differences: error: {error}") from None
    if frame.empty:
        raise SystemExit("device_differences: error: no entry of the configuration has networks")
    if given.out:
        write_csv(frame, given.out)
    print(f"{given.devices[0]} against {given.devices[1]}")
    print(summary(frame).to_string(index=False))


def differences(run: Run, devices: list[str], images: int) -> Iterator[dict[str, Any]]:
    """A row per data set, codec spec and image."""
    families = {name: f for name, f in run.codecs.items() if codec_class(f.codec).uses_device}
    with tempfile.TemporaryDirectory(prefix="icmbench-") as scratch:
        for name, data in run.datasets.items():
            folder = Path(scratch) / name
            records = provided(data, images, folder)
            for _, entry in units(run.config, [name], families):
                yield from _entry(run, name, entry, records, folder, devices)


def provided(data: Dataset, images: int, folder: Path) -> list[Record]:
    """The first usable images of a data set."""
    folder.mkdir()
    found = data.provide(data.image_ids()[:images], folder)
    return [record for record in found if record.status == "ok"]


def _entry(
    run: Run, dataset: str, entry: str, records: list[Record], folder: Path, devices: list[str]
) -> Iterator[dict[str, Any]]:
    """The rows of an entry: both sides decode the streams of the first."""
    first = folder / f"{entry}-0"
    sides: list[list[dict[str, str]]] = []
    for number, device in enumerate(devices):
        family = entry_on(run.config, dataset, on_device(run, entry, device))
        place = folder / f"{entry}-{number}"
        place.mkdir()
        own = {key: place / f"encode-{key}.csv" for key in ("status", "timing")}
        encode_shard(family, dataset, records, folder, streams=place / "streams.zip", **own)
        sides.append(decoded(family, dataset, first, place))
    with (
        archive.reader(first / "pictures.zip") as one,
        archive.reader(folder / f"{entry}-1" / "pictures.zip") as other,
        archive.reader(first / "streams.zip") as streams,
        archive.reader(folder / f"{entry}-1" / "streams.zip") as others,
    ):
        for row, also in zip(*sides, strict=True):
            point = parse_spec(row["codec"])
            extension = point.codec.file_extension(**dict(point.encode))
            stream = archive.stream_member(point.encoding, row["image"], extension)
            names = streams.namelist(), others.namelist()
            equal = all(stream in n for n in names) and streams.read(stream) == others.read(stream)
            yield {
                **{"dataset": dataset, "family": entry, "codec": row["codec"]},
                **{"image": row["image"], "here": row["device"], "elsewhere": also["device"]},
                "streams": equal,
                **compared(row, also, one, other),
            }


def on_device(run: Run, entry: str, device: str) -> CodecEntry:
    """An entry of the configuration on another device than the run's."""
    settings = {**coding_settings(run.config, entry), "device": device}
    if settings["models"] and not Path(settings["models"]).is_dir():
        settings["models"] = None  # the bundled ones
    return make_codec_entry(entry, settings)


def decoded(family: CodecEntry, dataset: str, streams: Path, place: Path) -> list[dict[str, str]]:
    """Decode a folder's streams into another; the rows of `DECODED`, sorted."""
    own = {key: place / f"decode-{key}.csv" for key in ("status", "timing")}
    decode_shard(
        family,
        dataset,
        streams=streams / "streams.zip",
        encoded=streams / "encode-status.csv",
        pictures=place / "pictures.zip",
        **own,
    )
    rows = read_rows(own["status"], DECODED)
    return sorted(rows, key=lambda row: (row["codec"], row["image"]))


def compared(
    row: dict[str, str], also: dict[str, str], one: zipfile.ZipFile, other: zipfile.ZipFile
) -> dict[str, Any]:
    """The agreement of two reconstructions of one stream."""
    failed = [f"{r['device']}: {r['status']}: {r['detail']}" for r in (row, also)]
    failed = [text for text, r in zip(failed, (row, also), strict=True) if r["status"] != "ok"]
    if failed:
        return {"outcome": "missing", "detail": "; ".join(failed)}
    name = archive.picture_member(row["codec"], row["image"])
    found = agreement(*(archive.read_picture(source, name) for source in (one, other)))
    return {
        "outcome": found.outcome,
        "max_difference": found.max_difference,
        "differing": found.differing,
        "detail": found.detail,
    }


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per data set and codec spec: how many streams agree how far."""
    rows = []
    for key, part in frame.groupby(["dataset", "codec"], sort=False):
        counts = {name: int((part["outcome"] == name).sum()) for name in AGREEMENT}
        known = part[part["max_difference"].notna()]
        rows.append(
            {
                **dict(zip(("dataset", "codec"), key, strict=True)),
                "images": len(part),
                "equal_streams": int(part["streams"].sum()),
                **{name: count for name, count in counts.items() if name != "refused"},
                "max_difference": known["max_difference"].max(),
                "differing": known["differing"].astype(float).mean(),
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
