"""Verification of remote decoding: compare the other machine's reconstructions with our own.

Digests are compared first; only where they differ, the pixels.
"""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from icmbench.codecs.base import Image
from icmbench.core.errors import (
    ConfigError,
    CorruptStream,
    MeasurementError,
    SymbolMismatch,
    TruncatedStream,
    UnsupportedVersion,
    WrongModel,
)
from icmbench.core.files import sha256_file, write_bytes, write_json
from icmbench.core.images.image_files import pixel_sha256
from icmbench.core.progress import progress
from icmbench.evaluation import archive
from icmbench.evaluation.agreement import AGREEMENT, COLUMNS, Agreement, agreement
from icmbench.evaluation.shard import DECODED, CodecEntry, read_rows
from icmbench.reporting.statistics.natural import natural_key
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.transfer.bundle import ABOUT, PICTURES, Bundle, open_bundle
from icmbench.transfer.reconstructions import Reconstructions, local_reconstructions
from icmbench.transfer.results import Unit, chosen_units, codec_entries, read_provenance, unit_entry

REFUSALS = (SymbolMismatch, WrongModel, CorruptStream, TruncatedStream, UnsupportedVersion)

Row = Mapping[str, str]
Key = tuple[str, str]  # codec spec, image


def verify_pictures(results: Path, returned: Path, name: str) -> pd.DataFrame:
    """Compare the reconstructions of another machine with those of this run.

    Every stream that this run decoded is a row, `evaluation.agreement.COLUMNS`. Where the digests
    differ, the reconstructions are compared; those of this machine are decoded again unless the run
    has kept them.

    Args:
        results: result folder of the run that `pack_streams` packed.
        returned: the `decoded.tar` of the other machine.
        name: of the other machine; `<results>/verification/<name>.csv` and `.json` are written.

    Raises ConfigError for a name that is no file name, and MeasurementError naming the file where
    a file is missing or damaged, the streams have changed since they were packed, or this machine
    no longer decodes them to the recorded digests.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise ConfigError(f"--name {name}: letters, digits, '-', '_' and '.'")
    here = read_provenance(results)
    with (
        open_bundle(returned, PICTURES) as bundle,
        tempfile.TemporaryDirectory(prefix="icmbench-") as scratch,
    ):
        there = _provenance(bundle)
        units = _units(bundle, results, here["config"])
        families = codec_entries(here["config"], units)
        rows: list[dict[str, Any]] = []
        for unit in progress(units, desc="verify", unit="shard"):
            entry = unit_entry(here["config"], unit, families)
            found = _Unit(unit, entry, results, bundle, Path(scratch)).compare()
            for row in found:
                row["here"] = _machine(here, row["here"])
                row["elsewhere"] = _machine(there, row["elsewhere"])
            rows += found
    rows.sort(key=lambda row: (row["dataset"], natural_key(row["codec"]), row["image"]))
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
    table = results / "verification" / f"{name}.csv"
    write_csv(frame, table)
    write_json(table.with_suffix(".json"), {"here": here, "elsewhere": there})
    return frame


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Streams per codec spec and class: `codec, streams`, `AGREEMENT`, `largest`."""
    rows = []
    for codec in sorted(set(frame["codec"]), key=natural_key):
        part = frame[frame["codec"] == codec]
        counts = Counter(part["outcome"])
        row = {"codec": codec, "streams": len(part), **{name: counts[name] for name in AGREEMENT}}
        rows.append({**row, "largest": part["max_difference"].max()})
    return pd.DataFrame(rows, columns=["codec", "streams", *AGREEMENT, "largest"])


class _Unit:
    """One unit of work: rows and reconstructions of both machines."""

    def __init__(
        self, unit: Unit, family: CodecEntry, results: Path, bundle: Bundle, scratch: Path
    ) -> None:
        self.unit = unit
        self.family = family
        self.results = results
        self.bundle = bundle
        self.scratch = scratch

    def compare(self) -> list[dict[str, Any]]:
        """Rows of the table; `here` and `elsewhere` are the devices only."""
        self._check_streams()
        status = self.results / self.unit.member("decoded", ".csv")
        if not status.is_file():
            raise MeasurementError(f"{status}: no such file: nothing was decoded here")
        copy = self.scratch / "decoded.csv"
        with self.bundle.open(self.unit.member("decoded", ".csv")) as handle:
            write_bytes(copy, handle.read())
        # Streams that this run could not decode are left out.
        here = {_key(row): row for row in read_rows(status, DECODED) if row["status"] == "ok"}
        there = {_key(row): row for row in read_rows(copy, DECODED)}
        found = {key: _by_digest(row, there.get(key)) for key, row in here.items()}
        unequal = [key for key, value in found.items() if value is None]
        compared = self._compare({key: (here[key], there[key]) for key in unequal})
        base = {"dataset": self.unit.dataset, "family": self.unit.family}
        return [
            {
                **base,
                "codec": key[0],
                "image": key[1],
                **vars(value or compared[key]),
                "here": here[key]["device"],
                "elsewhere": there[key]["device"] if key in there else "",
            }
            for key, value in found.items()
        ]

    def _check_streams(self) -> None:
        """MeasurementError where the streams have changed since the other machine decoded them."""
        for suffix in (".zip", ".csv"):
            name = self.unit.member("streams", suffix)
            path = self.results / name
            if not path.is_file():
                raise MeasurementError(f"{path}: no such file; it was decoded elsewhere")
            if sha256_file(path) != self.bundle.about["streams"].get(name):
                raise MeasurementError(
                    f"{path}: not the file that {self.bundle.path} was decoded from: it was coded "
                    "again since; pack, decode and verify once more"
                )

    def _compare(self, unequal: Mapping[Key, tuple[Row, Row]]) -> dict[Key, Agreement]:
        """The agreement of streams whose digests differ."""
        if not unequal:
            return {}
        compared = {}
        name = self.unit.member("reconstructions", ".zip")
        with (
            self.bundle.open(name) as handle,
            archive.reader(self.bundle.path / name, handle) as source,
            local_reconstructions(self.results, self.unit, self.family, set(unequal)) as own,
        ):
            for key, (here, there) in unequal.items():
                other = _checked(f"{self.bundle.path}: {name}", source, key, there)
                compared[key] = agreement(_own(own, key, here), other)
        return compared


def _own(pictures: Reconstructions, key: Key, row: Row) -> Image:
    """Reconstruction of this machine; MeasurementError where it differs from that of the run."""
    return _checked(pictures.place, pictures.source, key, row)


def _checked(place: str, source: zipfile.ZipFile, key: Key, row: Row) -> Image:
    """Reconstruction from an archive; MeasurementError where its digest is not that of its row."""
    member = archive.picture_member(*key)
    image = archive.read_picture(source, member, place)
    if pixel_sha256(image)[:16] != row["digest"]:
        raise MeasurementError(f"{place}: {member} does not have the recorded digest")
    return image


def _by_digest(here: Row, there: Row | None) -> Agreement | None:
    """Agreement where the rows are enough to tell; None where the pixels must be compared."""
    if there is None:
        return Agreement("missing", detail="the other machine has no row of it")
    if there["status"] == "ok":
        return Agreement("identical", 0, 0.0) if here["digest"] == there["digest"] else None
    refused = there["detail"].partition(":")[0] in {error.__name__ for error in REFUSALS}
    detail = f"{there['status']}: {there['detail']}"
    return Agreement("refused" if refused else "missing", detail=detail)


def _provenance(bundle: Bundle) -> dict[str, Any]:
    """Provenance of the other machine, complete enough for `_machine`.

    Raises MeasurementError naming the file where it is not; the same of the streams' digests.
    """
    try:
        there = dict(bundle.about["provenance"])
        _machine(there, "cuda")
        dict(bundle.about["streams"])
    except (KeyError, TypeError, ValueError) as error:
        what = f"its {ABOUT} does not describe a machine"
        raise MeasurementError(f"{bundle.path}: {what}: {error}") from error
    return there


def _units(bundle: Bundle, results: Path, config: Mapping[str, Any]) -> list[Unit]:
    """Units of a bundle of reconstructions, sorted; MeasurementError for one of another run."""
    known = {unit.member("decoded", ".csv"): unit for unit in chosen_units(config)}
    names = [name for name in bundle.names if name.startswith("decoded/")]
    if strange := sorted(set(names) - set(known)):
        raise MeasurementError(f"{bundle.path}: {strange[0]} is not of the run in {results}")
    return sorted(known[name] for name in names)


def _key(row: Row) -> Key:
    return row["codec"], row["image"]


def _machine(provenance: Mapping[str, Any], device: str) -> str:
    """A machine in a line: ``AMD EPYC, Linux 6.1, torch 2.14.1, 1 thread``."""
    machine, threads = provenance["machine"], provenance["threads_per_job"]
    parts = [machine["processor"], machine["system"], f"torch {provenance['packages']['torch']}"]
    parts += machine["gpu"] if device == "cuda" else []
    return ", ".join([*parts, f"{threads} thread{'s' * (threads != 1)}"])
