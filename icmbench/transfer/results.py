"""Configuration and units of work, read from the result folder of a finished run."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icmbench.config.models import coding_settings
from icmbench.core.errors import ConfigError, MeasurementError
from icmbench.core.suggest import unknown
from icmbench.evaluation.shard import CodecEntry, make_codec_entry
from icmbench.evaluation.units import entry_on, units


@dataclass(frozen=True, order=True)
class Unit:
    """Unit of work of a run: data set x codec entry x shard."""

    dataset: str
    family: str
    shard: int

    def member(self, folder: str, suffix: str) -> str:
        """Relative path of a file of the unit, such as ``streams/photos/webp/0.zip``."""
        return f"{folder}/{self.dataset}/{self.family}/{self.shard}{suffix}"


def read_provenance(results: Path) -> dict[str, Any]:
    """Read `provenance.json` of a run; `results` in its configuration is set to this folder.

    Raises MeasurementError naming the file where it is missing or holds something else.
    """
    path = results / "provenance.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        found["config"]["results"] = str(results)
        found["config"]["codecs"], found["config"]["datasets"], found["machine"]
    except FileNotFoundError:
        raise MeasurementError(
            f"{path}: no such file; a run writes it: snakemake --cores all {path}"
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise MeasurementError(f"{path}: not the provenance of a run: {error}") from error
    return found


def chosen_units(
    config: Mapping[str, Any], datasets: Collection[str] = (), codecs: Collection[str] = ()
) -> list[Unit]:
    """List the units of a configuration, sorted.

    Args:
        datasets: names of the data sets to include; empty: all.
        codecs: names of the codec entries to include; empty: all.

    Raises ConfigError for a name that the configuration does not have, and where none of these data
    sets is coded by any of these codec entries.
    """
    for kind, names, known in (
        ("data set", datasets, config["datasets"]),
        ("codec entry", codecs, config["codecs"]),
    ):
        for name in names:
            if name not in known:
                raise ConfigError(unknown(kind, name, known))
    pairs = units(config, datasets or None, codecs or None)
    if not pairs:
        names = [", ".join(names) or "any" for names in (codecs, datasets)]
        raise ConfigError(f"the run has no streams of {names[0]} on {names[1]}")
    return sorted({Unit(*pair, shard) for pair in pairs for shard in range(config["shards"])})


def codec_entries(config: Mapping[str, Any], units: Collection[Unit]) -> dict[str, CodecEntry]:
    """The codec entries of units by name, built as in the jobs of the run."""
    names = sorted({unit.family for unit in units})
    return {name: make_codec_entry(name, coding_settings(config, name)) for name in names}


def unit_entry(
    config: Mapping[str, Any], unit: Unit, entries: Mapping[str, CodecEntry]
) -> CodecEntry:
    """The codec entry of a unit, of `codec_entries`, with its points on the data set."""
    return entry_on(config, unit.dataset, entries[unit.family])
