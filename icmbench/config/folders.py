"""Folders of results made elsewhere: which images they lack, and which files are of no image.

This is announced before anything runs; what is missing becomes a row of status `missing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from icmbench.codecs.external.folder_files import (
    POINT,
    PointResults,
    all_of_eight,
    find_results,
    implausible,
    point_folders,
    results_folder,
    set_folder,
)
from icmbench.codecs.registry import codec_class
from icmbench.config.problems import Problems
from icmbench.core.errors import ConfigError
from icmbench.core.suggest import unknown
from icmbench.evaluation.shard import CodecEntry
from icmbench.evaluation.units import entry_on, units

_NAMED: Final = 3


def check_folders(
    config: Mapping[str, Any],
    entries: Mapping[str, CodecEntry],
    ids: Mapping[str, Sequence[str]],
    problems: Problems,
) -> list[str]:
    """Notices on the results of all entries with a folder; what cannot be right is a problem.

    Looked for are the results on data sets and at points that the entries code.

    Args:
        ids: image ids by data set.
    """
    notices = []
    for name, entry in entries.items():
        codec = codec_class(entry.codec)
        if codec.foreign and codec.definition is not None:
            with problems.collect(f"codecs.{name}"):
                path = results_folder(codec.definition)
                wanted = {
                    dataset: _folders_of(entry_on(config, dataset, entry))
                    for dataset, _ in units(config, ids, [name])
                }
                found = _notices(path, _folders_of(entry), wanted, ids)
                notices += [f"codecs.{name}: {text}" for text in found]
    return notices


def _folders_of(entry: CodecEntry) -> list[str]:
    """Names of the folders of an entry's points."""
    return [str(dict(point.encode)["point"]) for point in entry.points]


def _notices(
    path: Path,
    points: Sequence[str],
    wanted: Mapping[str, Sequence[str]],
    ids: Mapping[str, Sequence[str]],
) -> list[str]:
    """Sentences on the points of one folder.

    Args:
        points: all points of the entry.
        wanted: those that are coded, by data set.

    Raises ConfigError where a point has no folder, nothing matches, or sizes are implausible.
    """
    notices = []
    folders = sorted({each for dataset in wanted for each in point_folders(path, dataset)} - {*ids})
    for point in points:
        if not POINT.fullmatch(point):
            raise ConfigError(f"point={point}: letters, digits, '.', '_' and '-'")
        if point not in folders:
            raise ConfigError(f"{path}: {unknown('point', point, folders)}")
    if unused := sorted({*folders} - {*points}):
        notices.append(f"the folders {_some(unused)} are no points of it")
    matched = 0
    for point in points:
        found = {
            dataset: find_results(path, dataset, point, ids[dataset])
            for dataset, those in wanted.items()
            if point in those
        }
        for dataset, results in found.items():
            notices += _on_sizes(point, dataset, results)
            lacking = results.missing
            matched += len(results.found) - len(lacking)
            if lacking:
                count = f"{len(lacking)} of {len(results.found)}"
                notices.append(
                    f"{point}: {count} results on {dataset} are missing ({_some(lacking)}): rows "
                    "of status missing"
                )
        if spare := _left_over(path, found):
            notices.append(f"{point}: {len(spare)} left over, of no image ({_some(spare)})")
    if not matched and any(ids[dataset] for dataset in wanted):
        example = next(ids[dataset][0] for dataset in wanted if ids[dataset])
        raise ConfigError(
            f"path: nothing in {path} has the name of an image and a size; such as "
            f"{points[0]}/{example}.png with {points[0]}/{example}.bin or bytes.csv"
        )
    return notices


def _on_sizes(point: str, dataset: str, results: PointResults) -> list[str]:
    if reason := implausible(results):
        raise ConfigError(f"{point} on {dataset}: {reason}")
    if all_of_eight(results):
        return [f"{point} on {dataset}: every size is a multiple of 8: they are bytes, not bits?"]
    return []


def _left_over(path: Path, found: Mapping[str, PointResults]) -> list[str]:
    """Names that no data set takes; those with one folder share its files."""
    by_folder: dict[Path, set[str]] = {}
    for dataset, results in found.items():
        home, spare = set_folder(path, dataset), {*results.left_over}
        by_folder[home] = by_folder[home] & spare if home in by_folder else spare
    return sorted({name for spare in by_folder.values() for name in spare})


def _some(names: Sequence[str]) -> str:
    """The first names of a list."""
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
