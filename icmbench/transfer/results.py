"""Configuration and units of work of a finished run's folder."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icmbench.config.models import coding_settings
from icmbench.core.errors import ConfigError, MeasurementError
from icmbench.core.suggest import unknown
from icmbench.evaluation.shard import CodecEntry, make_codec_entry


@dataclass(frozen=True, order=True)
class Unit:
    """Data set x codec entry x shard, as in the names of a run's files."""

    dataset: str
    family: str
    shard: int

    def member(self, folder: str, suffix: str) -> str:
        """``streams/photos/webp/0.zip``."""
        return f"{folder}/{self.dataset}/{self.family}/{self.shard}{suffix}"


def read_provenance(results: Path) -> dict[str, Any]:
    """`provenance.json` of a run, its configuration pointing to where the results lie now.

    Raises MeasurementError naming the file where it is missing or not one.
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
    """The units of a configuration, sorted; only those of some data sets and codec entries.

    Raises ConfigError where one of them is not of the configuration.
    """
    for kind, names, known in (
        ("data set", datasets, config["datasets"]),
        ("codec entry", codecs, config["codecs"]),
    ):
        for name in names:
            if name not in known:
                raise ConfigError(unknown(kind, name, known))
    product = itertools.product(
        datasets or config["datasets"], codecs or config["codecs"], range(config["shards"])
    )
    return sorted({Unit(*parts) for parts in product})


def codec_entries(config: Mapping[str, Any], units: Collection[Unit]) -> dict[str, CodecEntry]:
    """The families of units by name, as the run's jobs see them."""
    names = sorted({unit.family for unit in units})
    return {name: make_codec_entry(name, coding_settings(config, name)) for name in names}
