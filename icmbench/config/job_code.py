"""The code of a job: its workflow script and the registry entries that its configuration names.

A registry imports its entries by name, so that the closure of a script holds none of them: those
that a job uses are added here. An edit of one format then reruns the jobs of that format.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from icmbench.codecs import registry as codecs
from icmbench.core.fingerprint import OURS, Code
from icmbench.core.revision import VARIABLE, code_revision
from icmbench.datasets import registry as datasets
from icmbench.metrics.registry import metric_module
from icmbench.reporting import drawing
from icmbench.reporting.catalogue import FIGURES
from icmbench.reporting.figures.answers import drawing_module
from icmbench.tasks import registry as tasks
from icmbench.tasks.answers import answer_module
from icmbench.tasks.base import ENTRY_POINTS as TASK_ENTRY_POINTS

# The module that imports entries by name -> the kinds of entries.
REGISTRIES: Final = {
    codecs.__name__: ("codecs",),
    tasks.__name__: ("tasks",),
    datasets.__name__: ("datasets", "data"),
    "icmbench.metrics.meter": ("metrics",),  # not imported here: it needs numpy
    drawing.__name__: ("figures",),
    "icmbench.tasks.known_answers": ("answers",),
    "icmbench.reporting.figures.task_pictures": ("drawings",),
}
# Kinds whose entries are those of tasks.
BY_TASK: Final = ("tasks", "answers", "drawings")
# Sources that were parsed before, below the directory that Snakemake runs in.
_CACHE: Final = Path(".snakemake") / "icmbench" / "sources.json"
# A copy of a bundled part: nothing of its training script runs but these.
COPY: Final = (
    "icmbench.core.files",
    "icmbench.core.job_arguments",
    "icmbench.core.joblog",
    "icmbench.jobs.bundled_or_trained",
)


def workflow_code(config: Mapping[str, Any], home: Path) -> Callable[..., Any]:
    """`JobCode.of_rule` of a workflow; its revision is given to all jobs, for their logs.

    The fingerprint is a parameter of every rule that runs a script: an edit reruns exactly what
    depends on it.

    Args:
        config: the complete configuration.
        home: folder of the Snakefile.
    """
    code = Code(_CACHE)
    os.environ[VARIABLE] = code_revision(home, code.digest)
    return JobCode(config, home / "workflow_scripts", code).of_rule


class JobCode:
    """Fingerprints of the jobs of a run.

    Args:
        config: the complete configuration.
        scripts: folder of the workflow scripts.
        code: the sources.
    """

    def __init__(self, config: Mapping[str, Any], scripts: Path, code: Code) -> None:
        self._scripts = scripts
        self._code = code
        self._entries: dict[str, Mapping[str, Any]] = {
            kind: config[kind] for kind in ("codecs", "datasets", "tasks")
        }
        self._entries["data"] = config["training"]["data"]
        self._entries["answers"] = self._entries["drawings"] = config["tasks"]
        self._entries["metrics"] = {name: {} for name in config["metrics"]}
        self._entries["figures"] = {entry.draw: {} for entry in FIGURES if entry.draw}
        self._made: dict[tuple[Any, ...], list[str]] = {}
        self._plugins: dict[str, str] | None = None
        code.keep()

    def of_job(
        self, script: str, wildcards: Mapping[str, str], **entries: Iterable[str]
    ) -> list[str]:
        """The fingerprint of a job's code.

        Entries are those that a wildcard names (`codec`, `dataset`, `task`, `source`), or else all
        of the configuration.

        Args:
            script: name of the workflow script, without suffix.
            wildcards: the job's.
            entries: `codecs`, `datasets`, `tasks`, `metrics` or `figures` (functions that draw
                them) that the job uses, if others.
        """
        chosen = {kind: self._chosen(kind, wildcards, entries) for kind in self._entries}
        key = (script, *chosen.values())
        if key not in self._made:
            self._made[key] = self._fingerprint(script, chosen)
        return self._made[key]

    def of_rule(
        self, script: str, made: bool = True, **entries: Iterable[str]
    ) -> Callable[[Any], list[str]] | list[str]:
        """The fingerprint of the jobs of a rule, as a function of Snakemake's wildcards.

        Args:
            script: as in `of_job`, like `entries`.
            made: False: the jobs only copy a bundled file.
        """
        if not made:
            return self.of_copy()
        return lambda wildcards: self.of_job(script, dict(wildcards.items()), **entries)

    def of_copy(self) -> list[str]:
        """The fingerprint of a job that copies a bundled file."""
        return self._code.fingerprint(COPY)

    def _chosen(
        self, kind: str, wildcards: Mapping[str, str], entries: Mapping[str, Iterable[str]]
    ) -> tuple[str, ...]:
        known = self._entries[kind]
        if kind in entries:
            return tuple(sorted(entries[kind]))
        if kind in BY_TASK and "task" not in wildcards and "dataset" in wildcards:
            here = wildcards["dataset"]
            return tuple(sorted(n for n, entry in known.items() if here in entry["datasets"]))
        if {"data": "dataset", "datasets": "source"}.get(kind) in wildcards:
            return ()  # the job is about one of the other
        named = wildcards.get("source" if kind == "data" else kind.removesuffix("s"), "")
        return (named,) if named in known else tuple(sorted(known))

    def _modules(self, kind: str, name: str) -> set[str]:
        """The module of an entry's class, or of the function of a metric or figure.

        Of a task also that of the kind of its answers; for jobs that know answers or drawings
        alone, that of the kind.
        """
        if kind == "metrics":
            return {metric_module(name)}
        if kind == "figures":
            return {drawing.figure_module(name)}
        entry = self._entries[kind][name]
        if kind == "codecs":
            return {codecs.codec_of(self._entries[kind], name).__module__}
        if kind in BY_TASK:
            task = tasks.kinds()[entry.get("type", name)]
            if kind == "drawings":
                module = drawing_module(task.produces)
                return {module} if module else set()
            answers = {answer_module(task.produces)}
            return answers if kind == "answers" else {task.__module__, *answers}
        return {datasets.kinds()[entry.get("type", name)].__module__}

    def _fingerprint(self, script: str, chosen: Mapping[str, Iterable[str]]) -> list[str]:
        """The closure of a script with its entries, whose own code may use further registries."""
        starts = {str(self._scripts / f"{script}.py")}
        used: set[str] = set()
        while new := {*REGISTRIES} & {*self._code.closure(starts).modules} - used:
            used |= new
            kinds = [kind for registry in new for kind in REGISTRIES[registry]]
            starts |= {
                module
                for kind in kinds
                for name in chosen[kind]
                for module in self._modules(kind, name)
            }
        foreign = {m for m in starts if m.partition(".")[0] != OURS and not m.endswith(".py")}
        return self._code.fingerprint(starts, self._distributions(foreign))

    def _distributions(self, foreign: set[str]) -> set[str]:
        """The distributions whose entry points are in modules, editable ones among them."""
        if not foreign:
            return set()
        if self._plugins is None:
            groups = (codecs.ENTRY_POINTS, TASK_ENTRY_POINTS, datasets.ENTRY_POINTS)
            entries = [e for group in groups for e in importlib.metadata.entry_points(group=group)]
            self._plugins = {e.module: e.dist.name for e in entries if e.dist is not None}
        return {self._plugins[module] for module in foreign if module in self._plugins}
