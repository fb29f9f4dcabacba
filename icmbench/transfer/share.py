"""A share: streams, reconstructions and tables of a run, which other runs read as `codec: folder`.

README.md, config.yaml                             how to read it; an entry per codec entry
provenance.json, tables/*.csv                      of the run
datasets/<data set>/manifest.csv                   the images: ids, sha256, sources
codecs/<entry>/points.csv                          codec spec of every point
codecs/<entry>/<data set>/bytes.csv                sizes of the streams
codecs/<entry>/<data set>/<point>/<image>.<suffix> the file that was decoded
codecs/<entry>/<data set>/<point>/<image>.png      its reconstruction
"""

from __future__ import annotations

import csv
import io
import itertools
import re
import shlex
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import yaml

import icmbench
from icmbench.codecs.external.folder_files import PICTURES, TABLE
from icmbench.codecs.registry import codec_class
from icmbench.codecs.specs import slug
from icmbench.core.errors import MeasurementError
from icmbench.core.images.image_files import pixel_sha256
from icmbench.core.progress import progress
from icmbench.evaluation import archive
from icmbench.evaluation.codec_process import CodecProcess
from icmbench.evaluation.decode import cut_stream, extract_stream
from icmbench.evaluation.shard import DECODED, CodecEntry, read_rows
from icmbench.transfer.new_folder import Sink, new_share
from icmbench.transfer.reconstructions import local_reconstructions
from icmbench.transfer.results import Unit, chosen_units, codec_entries, read_provenance, unit_entry

README: Final = """# Results of a run of icmbench {version} (revision {revision})

`codecs/<entry>/<data set>/<point>/` holds, for every image, the file that was decoded and its
reconstruction as PNG; `bytes.csv` beside the points has the sizes of the files, `points.csv` the
codec spec of every point. `tables/`: everything measured; `provenance.json`: versions, machine,
configuration; `datasets/<data set>/manifest.csv`: the images, with sha256.

To compare them with your codec, give `config.yaml` beside a configuration of icmbench, from the
folder that holds this one (or change the paths in it), with the same images under the same names of
data sets:

    snakemake --cores all --configfile yours.yaml {command}
"""
_PREFIX: Final = "shared-"  # entries of a folder may not have the name of a codec


@dataclass
class Shared:
    """Content of a share: reconstructions by codec entry (number), and entries left out."""

    counts: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def share_results(
    results: Path, out: Path, *, datasets: Collection[str] = (), codecs: Collection[str] = ()
) -> Shared:
    """Write a share: a new folder, or a tar where `out` ends in `.tar`.

    Entries whose results were made elsewhere are left out. Images that failed at a point are, too.

    Args:
        results: the folder of a finished run.
        datasets, codecs: only these; empty: all.

    Raises ConfigError where `out` exists, MeasurementError naming the file where the run is not
    finished, a stream has another size than was measured, or this machine no longer decodes a
    stream to the digest of the run.
    """
    about = read_provenance(results)
    units = chosen_units(about["config"], datasets, codecs)
    entries = codec_entries(about["config"], units)
    foreign = {name for name, entry in entries.items() if codec_class(entry.codec).foreign}
    units = [unit for unit in units if unit.family not in foreign]
    shared = Shared(left_out=sorted(foreign))
    with new_share(out) as sink:
        for file in sorted((results / "tables").glob("*.csv")):
            sink.add(f"tables/{file.name}", file.read_bytes())
        for dataset in sorted({unit.dataset for unit in units}):
            name = f"datasets/{dataset}/manifest.csv"
            if (results / name).is_file():
                sink.add(name, (results / name).read_bytes())
        sink.add("provenance.json", (results / "provenance.json").read_bytes())
        sizes: dict[tuple[str, str], list[tuple[str, str, int]]] = {}
        folders = {name: point_folders(entry) for name, entry in entries.items()}
        for unit in progress(units, desc="share", unit="shard"):
            rows = sizes.setdefault((unit.family, unit.dataset), [])
            entry = unit_entry(about["config"], unit, entries)
            rows += _unit_files(results, unit, entry, folders[unit.family], sink)
        filled: dict[str, set[str]] = {}
        for (name, dataset), rows in sizes.items():
            shared.counts[name] = shared.counts.get(name, 0) + len(rows)
            table = _csv([("point", "image", "bytes"), *sorted(rows)])
            sink.add(f"codecs/{name}/{dataset}/{TABLE}", table)
            filled.setdefault(name, set()).update(folder for folder, _, _ in rows)
        points = {
            name: {folder: spec for spec, folder in folders[name].items() if folder in those}
            for name, those in filled.items()
        }
        _describe(points, entries, about, sink)
    return shared


def point_folders(entry: CodecEntry) -> dict[str, str]:
    """Codec spec -> name of the point's folder, in letters, digits, `.`, `_` and `-`.

    Names are different where letters of any case are the same.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for point in entry.points:
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", slug(point.spec))
        numbered = (f"{plain}_{number}" for number in itertools.count(2))
        name = next(n for n in itertools.chain([plain], numbered) if n.lower() not in taken)
        taken.add(name.lower())
        found[point.spec] = name
    return found


def _unit_files(
    results: Path, unit: Unit, entry: CodecEntry, folders: Mapping[str, str], sink: Sink
) -> Iterator[tuple[str, str, int]]:
    """Write the files of a unit; yield the point's folder, image and bytes of each."""
    status, streams = (
        results / unit.member(*of) for of in (("decoded", ".csv"), ("streams", ".zip"))
    )
    for path in (status, streams):
        if not path.is_file():
            raise MeasurementError(f"{path}: no such file: the run is not finished")
    points = {point.spec: point for point in entry.points}
    rows = [row for row in read_rows(status, DECODED) if row["status"] == "ok"]
    if unknown := {row["codec"] for row in rows} - {*points}:
        raise MeasurementError(f"{status}: {min(unknown)} is no point of {entry.name} now")
    wanted = [(row["codec"], row["image"]) for row in rows]
    with (
        archive.reader(streams) as source,
        local_reconstructions(results, unit, entry, wanted) as pictures,
        CodecProcess(replace(entry.setup, warm_up=None)) as process,
        tempfile.TemporaryDirectory(prefix="icmbench-") as scratch,
    ):
        file = Path(scratch) / "stream"
        for row in rows:
            point, image = points[row["codec"]], row["image"]
            extract_stream(source, point, image, file)
            cut_stream(process, point, file)
            stream = file.read_bytes()
            if str(len(stream)) != row["bytes"]:
                text = f"{len(stream)} bytes, measured were {row['bytes']}"
                raise MeasurementError(f"{streams}: {point.spec}, {image}: {text}")
            member = archive.picture_member(point.spec, image)
            shown = archive.read_picture(pictures.source, member, pictures.place)
            if pixel_sha256(shown)[:16] != row["digest"]:
                raise MeasurementError(
                    f"{pictures.place}: {member} is not the reconstruction that was measured"
                )
            home = f"codecs/{entry.name}/{unit.dataset}/{folders[point.spec]}"
            suffix = point.codec.file_extension(**dict(point.encode))
            # A stream that is a picture itself would be taken for the reconstruction.
            suffix = f"{suffix}.bin" if f".{suffix}" in PICTURES else suffix
            sink.add(f"{home}/{image}.{suffix}", stream)
            sink.add(f"{home}/{image}.png", archive.read_member(pictures.source, member))
            yield folders[point.spec], image, len(stream)


def _describe(
    points: Mapping[str, Mapping[str, str]],
    entries: Mapping[str, CodecEntry],
    about: Mapping[str, Any],
    sink: Sink,
) -> None:
    """Write the files that say what the others are.

    Args:
        points: codec entry -> folder -> codec spec, of every point with a reconstruction.
    """
    version, revision = about.get("icmbench", icmbench.__version__), about.get("revision", "?")
    config = {}
    for name, specs in points.items():
        if not specs:  # all images failed
            continue
        sink.add(f"codecs/{name}/points.csv", _csv([("point", "codec"), *specs.items()]))
        codec = codec_class(entries[name].codec)
        config[f"{_PREFIX}{name}"] = {
            "codec": "folder",
            "path": f"{sink.name}/codecs/{name}",
            "title": name,
            "settings": f"{codec.settings} (icmbench {version}, revision {revision})",
            "points": [{"point": [*specs]}],
        }
    sink.add("config.yaml", yaml.safe_dump({"codecs": config}, sort_keys=False).encode())
    command = shlex.quote(f"{sink.name}/config.yaml")
    text = README.format(version=version, revision=revision, command=command)
    sink.add("README.md", text.encode())


def _csv(rows: Collection[tuple[Any, ...]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode()
