"""The key `published`: its check, and the published points that agree with a planned run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from icmbench.config.problems import Problems
from icmbench.reporting.published.overlay import (
    DEFAULT,
    SetOfRun,
    agreeing,
    is_file,
    own_points,
    published_name,
)
from icmbench.reporting.published.points import codecs_of, shipped_points

if TYPE_CHECKING:
    from icmbench.config.plan import Plan


def check_published(entries: Sequence[str], problems: Problems) -> None:
    """Add a problem for an unknown codec, a wrong file, and a file's codec that is also named."""
    names = [entry for entry in entries if not is_file(entry)]
    if set(names) - set(DEFAULT):  # their file is not read in every start of a job
        kind = "published codec (a file's name ends with .csv)"
        problems.unknown_names("published", names, kind, codecs_of(shipped_points()))
    places = dict.fromkeys(names, "named")
    for entry in filter(is_file, entries):
        with problems.collect("published"):
            for codec in codecs_of(own_points([entry])):
                if codec in places:
                    problems.add(f"published: {codec!r} of {entry} is also {places[codec]}: rename")
                places[codec] = f"in {entry}"


def published_rows(plan: Plan) -> list[dict[str, Any]]:
    """Rows of the table `published` of a run."""
    run = plan.run
    if not run.config["published"]:
        return []
    sets = {
        name: SetOfRun(
            published_name(dataset, _images(plan, name)),
            {task: run.tasks[task].model for task in plan.tasks_of(name)},
        )
        for name, dataset in run.datasets.items()
    }
    return agreeing(run.config["published"], sets, plan.metrics)


def unmatched_points(plan: Plan) -> list[str]:
    """A sentence for every codec of an own file of points that agrees with nothing in a run."""
    found = {row["codec"] for row in plan.published}
    notices = []
    for file in filter(is_file, plan.run.config["published"]):
        points = own_points([file])
        for codec in [codec for codec in codecs_of(points) if codec not in found]:
            held = [point for point in points if point.codec == codec]
            sets, metrics = (sorted({getattr(p, n) for p in held}) for n in ("dataset", "metric"))
            notices.append(
                f"published: {codec} of {file} is drawn nowhere: this run has no whole data set "
                f"{' or '.join(sets)} with {' or '.join(metrics)}"
            )
    return notices


def published_images(plan: Plan) -> dict[str, int]:
    """Data sets with published points -> number of their images."""
    names = {row["dataset"] for row in plan.published}
    return {name: _images(plan, name) for name in sorted(names)}


def _images(plan: Plan, dataset: str) -> int:
    return sum(map(len, plan.shard_images(dataset)))
