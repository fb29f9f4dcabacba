"""Entries of the catalogue, and their expansion for one planned run."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Kind = Literal["figure", "table", "data"]
FORMATS: Final = ("png", "svg", "pdf")
# Conditions of entries, and what a configuration needs for each to hold.
CONDITIONS: Final = {
    "ablation": "`ablation` is set",
    "diff_icmh": "a codec entry is `diff-icmh`",
    "diff_icmh_model": "a codec entry is `diff-icmh`, and `models` is not given",
    "diff_icmh_copies": "a codec entry is `diff-icmh`, `models` is not given, and a variant or "
    "the model itself takes files of another model folder",
    "diff_icmh_tagger": "a codec entry is `diff-icmh`, `models` is not given, and no prior is "
    "imported",
    "distribution": "`distribution.datasets` is set",
    "equal_quality": "`anchors` is set, and `qualities` has levels of a metric that is measured",
    "hierarchy": "a codec entry is `mpd`, and `hierarchy` lists images",
    "labels": "`training` trains features",
    "latent": "a codec entry needs MPD's autoencoder, and `models` is not given",
    "models": "a codec entry needs a model, and `models` is not given",
    "latent_task": "a task takes decoded latents",
    "mpd": "a codec entry is `mpd`",
    "mpd_model": "a codec entry is `mpd`, and `models` is not given",
    "paired": "`anchors` and `rates` are set",
    "published": "a published curve agrees with a whole data set and a metric (`published`)",
    "robustness": "`robustness.trials` is above 0",
    "seeds": "points of a codec entry differ in `seed` alone",
    "task_models": "`training.tasks` trains a model that a task uses",
    "tasks": "`tasks` is set",
}


@dataclass(frozen=True)
class Scope:
    """The facts of a planned run that decide its artefacts.

    Attributes:
        axes: by axis, the values that it gives to wildcards, one mapping each.
        conditions: those of `CONDITIONS` that hold.
    """

    axes: Mapping[str, Sequence[Mapping[str, Any]]]
    conditions: frozenset[str]


@dataclass(frozen=True)
class Text:
    """Title, caption and place in the report of one figure or table; see `Artefact`."""

    name: str
    title: str
    caption: str = ""
    section: str = ""
    filters: Sequence[str] = ()
    explored: str = ""


@dataclass(frozen=True)
class Artefact:
    """An entry of the catalogue: files of one rule, one per combination of its axes.

    Attributes:
        name: path below the results folder, with wildcards; of a figure below `figures`, without
            suffix, of a table below `tables`.
        rule: the rule that makes it.
        title: of the figure or table in the report, with wildcards; of data, its description.
        caption: of the figure or table in the report.
        section: heading of figures in the report; empty: not in the report.
        over: axes of `Scope`, the first varies slowest.
        when: of `CONDITIONS`; empty: always.
        filters: columns by which the report filters a table.
        job: wildcards that distinguish the jobs of the rule; None: those of `name`.
        in_run: condition under which it is part of a run; None: only made where its rule or file
            is named on the command line.
        final: a result, asked for even if no rule needs it.
        explored: heading of the section of the report whose chart or viewer shows what the figure
            shows; such a figure is not embedded.
        draw: of a figure of the rule `rate_figures`: the function that draws it, and its module
            in `figures` (see `drawing`).
    """

    name: str
    kind: Kind
    rule: str
    title: str
    caption: str = ""
    section: str = ""
    over: tuple[str, ...] = ()
    when: str = ""
    filters: tuple[str, ...] = ()
    job: tuple[str, ...] | None = None
    in_run: str | None = ""
    final: bool = True
    draw: str = ""
    explored: str = ""

    @property
    def path(self) -> str:
        """Path below the results folder; a figure's has the suffix of its first format."""
        if self.kind == "data":
            return self.name
        return f"figures/{self.name}.png" if self.kind == "figure" else f"tables/{self.name}.csv"

    @property
    def wildcards(self) -> tuple[str, ...]:
        """Wildcards in `name`, in their order."""
        return tuple(name for _, name, _, _ in string.Formatter().parse(self.name) if name)

    def made(self, scope: Scope) -> Iterator[Made]:
        """Yield the artefacts of this entry that a run has."""
        if self.when and self.when not in scope.conditions:
            return
        for parts in itertools.product(*(scope.axes[axis] for axis in self.over)):
            values = {key: value for part in parts for key, value in part.items()}
            yield Made(self, values)


@dataclass(frozen=True)
class Made:
    """One artefact of a run: an entry and the values of its wildcards."""

    entry: Artefact
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The entry's name with its values."""
        return self.entry.name.format(**self.values)

    @property
    def path(self) -> str:
        """The entry's path with its values."""
        return self.entry.path.format(**self.values)

    @property
    def files(self) -> list[str]:
        """All its files, below the results folder."""
        if self.entry.kind != "figure" or self.entry.section == SHEETS:
            return [self.path]
        return [f"figures/{self.name}.{suffix}" for suffix in FORMATS]

    @property
    def job(self) -> str:
        """Name of the job among those of its rule, as its log and benchmark file have it."""
        keys = self.entry.wildcards if self.entry.job is None else self.entry.job
        return ".".join(str(self.values[key]) for key in keys) or "all"

    @property
    def text(self) -> Text:
        """Its words in the report."""
        entry, title = self.entry, self.entry.title.format(**self.values)
        return Text(self.name, title, entry.caption, entry.section, entry.filters, entry.explored)


SHEETS: Final = "Data sets"  # section of contact sheets, which are PNG alone


def made(
    entries: Iterable[Artefact], scope: Scope, *kinds: Kind, on_demand: bool = False
) -> list[Made]:
    """List the artefacts of a run, in the order of the catalogue; of all kinds, or some.

    Args:
        on_demand: include those that are not part of a run.
    """
    held = {"", *scope.conditions}
    chosen = [e for e in entries if not kinds or e.kind in kinds]
    return [one for e in chosen if on_demand or e.in_run in held for one in e.made(scope)]


def benchmarks(entries: Iterable[Artefact], scope: Scope) -> dict[str, list[str]]:
    """Names of the jobs of a run, by rule, in the order of the catalogue."""
    jobs: dict[str, dict[str, None]] = {}
    for one in made(entries, scope):
        jobs.setdefault(one.entry.rule, {})[one.job] = None
    return {rule: list(names) for rule, names in jobs.items()}
