"""Packing for remote decoding: streams of a finished run, models, and the decoding configuration.

Reconstructions and their digests are not packed, so that the other machine cannot copy them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from icmbench.bitstream import container
from icmbench.codecs.diff_icmh import model_folder as icmh
from icmbench.codecs.external.definitions import definition_of, shipped
from icmbench.codecs.mpd import model_folder as mpd
from icmbench.codecs.zoo import model_folder as zoo
from icmbench.config.models import given_files, model_name, models_folder
from icmbench.core.errors import IcmbenchError, MeasurementError
from icmbench.evaluation import archive
from icmbench.evaluation.shard import ENCODED, CodecEntry, read_rows
from icmbench.evaluation.units import KEY
from icmbench.transfer.bundle import STREAMS, write_bundle
from icmbench.transfer.results import Unit, chosen_units, codec_entries, read_provenance, unit_entry

# Keys of the configuration that decoding depends on.
KEYS = ("shards", "device", "threads", "limits")
_HEADER_BYTES = 32  # more than the longest header of our container


def pack_streams(
    results: Path, out: Path, *, datasets: Collection[str] = (), codecs: Collection[str] = ()
) -> list[Unit]:
    """Pack a run's streams and models into one file, and return the units in it.

    Args:
        results: the folder of a run.
        out: the tar that is written.
        datasets, codecs: only these; empty: all.

    Raises MeasurementError naming the file where the run is not finished: a file is missing, the
    streams do not match their status table or the configuration, or were written with other
    weights than those of the model folder. Raises ModelError where a model is incomplete.
    """
    config = read_provenance(results)["config"]
    if not (results / "streams").is_dir():
        raise MeasurementError(f"{results / 'streams'}: no such folder: the run has no streams")
    units = chosen_units(config, datasets, codecs)
    families = codec_entries(config, units)
    _check_portable(config, families)
    files: dict[str, Path] = {}
    weights: dict[str, Collection[bytes]] = {}
    for name in families:
        model = model_name(config, name)
        weights[name] = ()
        if model:
            folder = models_folder(config) / model
            files |= _model_files(model, folder)
            weights[name] = _weights_digests(model, folder)
    for unit in units:
        entry = unit_entry(config, unit, families)
        _check_unit(results, unit, entry, weights[unit.family])
        members = [unit.member("streams", suffix) for suffix in (".zip", ".csv")]
        files |= {name: results / name for name in members}
    about = {
        **{key: config[key] for key in KEYS},
        # No options: they are paths of this machine, and decoding needs no images.
        "datasets": {unit.dataset: _coded_by(config, unit.dataset) for unit in units},
        "codecs": {name: config["codecs"][name] for name in families},
    }
    write_bundle(out, STREAMS, {"config": about}, files)
    return units


def _coded_by(config: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """A data set's choice of codec entries and points, where it has one."""
    chosen = config["datasets"][dataset].get(KEY)
    return {} if chosen is None else {KEY: chosen}


def _check_portable(config: Mapping[str, Any], names: Collection[str]) -> None:
    """MeasurementError for entries that another machine cannot decode from the pack alone."""
    entries = config["codecs"]
    found = {name: definition_of(entries, name) for name in names}
    # An entry without such keys may name another that has some.
    own = [name for name, made in found.items() if made and made != shipped(made["name"])]
    if own:
        others = ", ".join(sorted({*entries} - {*own})) or "none of this run"
        raise MeasurementError(
            f"{', '.join(own)}: commands and folders of the configuration are not packed: they "
            f"would run on another machine unread; name entries with --codec: {others}"
        )


def _model_files(model: str, folder: Path) -> dict[str, Path]:
    """Member name -> file of a model; ModelError where it is incomplete."""
    check = {mpd.NAME: mpd.check_folder, icmh.NAME: icmh.check_folder}.get(model)
    if check:
        check(folder)
    found = given_files(folder)
    if not found:
        raise MeasurementError(f"{folder}: no model in it")
    # The autoencoder may be a file of another model's folder: it is packed into this model's.
    names = [
        f.relative_to(folder).as_posix() if f.is_relative_to(folder) else f.name for f in found
    ]
    return {f"models/{model}/{name}": file for name, file in zip(names, found, strict=True)}


def _weights_digests(model: str, folder: Path) -> Collection[bytes]:
    """Weights digests that streams of a model may have; empty for a plugin's model: unknown."""
    if model == mpd.NAME:
        return {mpd.weights_digest(folder)}
    if model == icmh.NAME:
        members = [folder / name for name in icmh.member_folders(folder)]
        return {icmh.weights_digest(place) for place in (folder, *members)}
    if model in zoo.LAYOUTS:
        layout = zoo.LAYOUTS[model]
        return {layout.weights_digest(folder / one.member) for one in zoo.trainings(folder)}
    return ()


def _check_unit(results: Path, unit: Unit, family: CodecEntry, weights: Collection[bytes]) -> None:
    """MeasurementError naming the file where a unit's streams are not those of its status table."""
    streams, status = (results / unit.member("streams", suffix) for suffix in (".zip", ".csv"))
    for path in (streams, status):
        if not path.is_file():
            raise MeasurementError(f"{path}: no such file: the run is not finished")
    rows = read_rows(status, ENCODED)
    points = family.encodings()
    if rows and {row["encoding"] for row in rows} != set(points):
        raise MeasurementError(f"{status}: its encodings are not those of codec {family.name} now")
    expected: dict[str, int] = {}
    for row in rows:
        if row["status"] == "ok":
            point = points[row["encoding"]]
            extension = point.codec.file_extension(**dict(point.encode))
            name = archive.stream_member(row["encoding"], row["image"], extension)
            expected[name] = int(row["bytes"])
    with archive.reader(streams) as source:
        found = {info.filename: info.file_size for info in source.infolist()}
        if found != expected:
            raise MeasurementError(f"{streams}: its members are not those that {status} lists")
        if damaged := source.testzip():
            raise MeasurementError(f"{streams}: the member {damaged} is damaged")
        for name in sorted(found) if weights else ():
            with source.open(name) as handle:
                _check_weights(f"{streams}: {name}", handle.read(_HEADER_BYTES), weights)


def _check_weights(what: str, head: bytes, weights: Collection[bytes]) -> None:
    try:
        written = container.read_header(head)[0].weights_digest
    except IcmbenchError as error:
        raise MeasurementError(f"{what}: {error}") from error
    if written not in weights:
        text = f"written with weights {written.hex()}, the model at hand is another"
        raise MeasurementError(f"{what}: {text}: the run is not finished")
