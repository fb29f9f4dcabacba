"""Units of a run: which codec entries code which data set, and at which of their points.

By default every entry codes every data set at all its points. The key `codecs` of a data set names
the entries that code it, each with all its points or with those that match a grid:

    text: {codecs: {jpeg: [{quality: [10, 50]}], mpd: all}}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from icmbench.codecs.specs import OperatingPoint
from icmbench.core.errors import ConfigError
from icmbench.core.suggest import unknown
from icmbench.evaluation.shard import CodecEntry, with_points

KEY: Final = "codecs"  # of a data set's entry: the workflow's, no option of the data set
ALL: Final = "all"
Grids = str | Sequence[Mapping[str, Any]]


def without_units(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A data set's entry without the key of this module: what determines its images."""
    return {key: value for key, value in entry.items() if key != KEY}


def coded_by(config: Mapping[str, Any], dataset: str) -> dict[str, Grids]:
    """The codec entries that code a data set, in the order of the configuration, with their grids.

    Entries that were left out of the run are not among them.
    """
    chosen = config["datasets"][dataset].get(KEY)
    if chosen is None:
        return dict.fromkeys(config["codecs"], ALL)
    grids = chosen if isinstance(chosen, Mapping) else dict.fromkeys(chosen, ALL)
    return {name: grids[name] for name in config["codecs"] if name in grids}


def units(
    config: Mapping[str, Any],
    datasets: Iterable[str] | None = None,
    codecs: Iterable[str] | None = None,
) -> list[tuple[str, str]]:
    """Data set and codec entry of every unit; of all, or of those given."""
    wanted = set(config["codecs"] if codecs is None else codecs)
    sets = config["datasets"] if datasets is None else datasets
    return [(data, name) for data in sets for name in coded_by(config, data) if name in wanted]


def entry_on(config: Mapping[str, Any], dataset: str, entry: CodecEntry) -> CodecEntry:
    """A codec entry with its points on a data set."""
    specs = specs_on(config, dataset, entry)
    return entry if specs is None else with_points(entry, specs)


def specs_on(config: Mapping[str, Any], dataset: str, entry: CodecEntry) -> list[str] | None:
    """Codec specs of the points of an entry that a data set is coded at; None: all.

    Raises ConfigError for a grid that no point of the entry matches.
    """
    grids = coded_by(config, dataset)[entry.name]
    if isinstance(grids, str):
        return None
    return matching_specs(entry, grids, f"datasets.{dataset}.{KEY}.{entry.name}")


def matching_specs(entry: CodecEntry, grids: Iterable[Mapping[str, Any]], where: str) -> list[str]:
    """Codec specs of the points of an entry that match a grid, in the entry's order.

    Args:
        where: the key of the grids, for errors.

    Raises ConfigError for a grid that no point of the entry matches.
    """
    found: set[str] = set()
    for grid in grids:
        matching = {point.spec for point in entry.points if _matches(point, grid)}
        if not matching:
            raise ConfigError(
                f"{where}: no point of the codec entry has "
                f"{', '.join(f'{key}: {value}' for key, value in grid.items())}; its points: "
                f"{', '.join(point.spec for point in entry.points)}"
            )
        found |= matching
    return [point.spec for point in entry.points if point.spec in found]


def check_units(config: Mapping[str, Any], dataset: str, declared: Iterable[str]) -> None:
    """ConfigError where a data set names a codec entry that does not exist, or none that can run.

    Args:
        declared: names of all codec entries, of those, too, that were left out.
    """
    known, chosen = sorted(declared), config["datasets"][dataset].get(KEY)
    if chosen is None:
        return
    for name in chosen:
        if name not in known:
            raise ConfigError(unknown(f"codec entry in datasets.{dataset}.{KEY}", name, known))
    if not coded_by(config, dataset):
        raise ConfigError(
            f"datasets.{dataset}.{KEY}: none of {', '.join(chosen)} is part of this run"
        )


def check_pictured(
    config: Mapping[str, Any], section: str, entries: Iterable[CodecEntry], codec: str
) -> None:
    """ConfigError where a section draws streams of a codec that its data set is not coded with.

    Args:
        section: a list of images, whose figures show the first entry of `codec`.
    """
    first = next((entry.name for entry in entries if entry.codec == codec), None)
    for item in config[section] if first else ():
        if first not in coded_by(config, item["dataset"]):
            raise ConfigError(
                f"{section}: data set {item['dataset']!r} is not coded by {first}: add it to "
                f"datasets.{item['dataset']}.{KEY}, or choose an image of another data set"
            )


def _matches(point: OperatingPoint, grid: Mapping[str, Any]) -> bool:
    values = dict(point.encode + point.cut + point.decode)
    return all(
        key in values and values[key] in (value if isinstance(value, list) else [value])
        for key, value in grid.items()
    )
