"""Published points that agree with a run: the same data set in full, and the same metric.

They are chosen while a run is planned: the table `published`, the figures and the BD-rates against
published curves derive from them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from icmbench.datasets.base import Dataset
from icmbench.reporting.published.points import SUFFIX, Point, read_points, shipped_points

# Codecs that are drawn where a configuration names none.
DEFAULT: Final = ("VTM", "BPG", "mbt2018-mean", "cheng2020-attn", "MS-ILLM")
# Kind and split of a data set -> name in the files of points, and number of its images.
SETS: Final[Mapping[tuple[str, str], tuple[str, int]]] = {
    ("kodak", ""): ("kodak", 24),
    ("clic2020", "professional"): ("clic2020-professional", 250),
    ("clic2020", "mobile"): ("clic2020-mobile", 178),
    ("div2k", "valid"): ("div2k-valid", 100),
    ("tecnick", "sampling"): ("tecnick", 100),
    ("coco2017", "val"): ("coco2017-val", 5000),
}


@dataclass(frozen=True)
class SetOfRun:
    """A data set of a run.

    Attributes:
        published: its name in the files of points; empty where it is a subset, or of no such kind.
        tasks: task -> name of its model.
    """

    published: str
    tasks: Mapping[str, str]


def published_name(dataset: Dataset, images: int) -> str:
    """The name of a whole data set in the files of points; empty: none has its points."""
    split = getattr(dataset, "split", None) or dataset.values.get("split") or ""
    name, count = SETS.get((dataset.kind, split), ("", 0))
    return name if images == count else ""


def is_file(entry: str) -> bool:
    """True for an entry of the key `published` that is a CSV file, not a codec."""
    return entry.endswith(SUFFIX)


def own_points(entries: Iterable[str]) -> list[Point]:
    """The points of the CSV files among the entries of the key `published`.

    Raises MeasurementError as `read_points`.
    """
    return [p for e in entries if is_file(e) for p in read_points(Path(e).expanduser())]


def agreeing(
    entries: Sequence[str], sets: Mapping[str, SetOfRun], metrics: Collection[str]
) -> list[dict[str, Any]]:
    """Rows of the table `published`: the chosen points that agree with a run, in order.

    Points that ship need a whole data set of a known kind; those of an own file may also name a
    data set of the configuration.

    Args:
        entries: the key `published`: names of codecs, and CSV files, which are taken whole.
        sets: data sets by name.
        metrics: metrics of images in this run.
    """
    wanted = {entry for entry in entries if not is_file(entry)}
    shipped = [p for p in shipped_points() if p.codec in wanted] if _any_whole(sets) else []
    rows = []
    for name, one in sets.items():
        held = [p for p in shipped if p.dataset == one.published]
        held += [p for p in own_points(entries) if p.dataset in (one.published, name)]
        for point in held:
            metric, _, model = point.metric.partition(":")
            tasks = [task for task, used in one.tasks.items() if used == model] if model else [""]
            if model or metric in metrics:
                rows += [_row(point, name, task, metric) for task in tasks]
    return sorted(rows, key=lambda r: [r[n] for n in ("dataset", "task", "metric", "codec", "bpp")])


def _any_whole(sets: Mapping[str, SetOfRun]) -> bool:
    return any(one.published for one in sets.values())


def _row(point: Point, dataset: str, task: str, metric: str) -> dict[str, Any]:
    return {**asdict(point), "dataset": dataset, "task": task, "metric": metric}
