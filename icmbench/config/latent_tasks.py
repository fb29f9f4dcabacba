"""Checks of a task on decoded latents: codec entries, the task beside it, its head."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icmbench.codecs.registry import codec_of, codecs
from icmbench.config.problems import Problems
from icmbench.evaluation.units import units
from icmbench.tasks.base import Task
from icmbench.tasks.latents import LATENT_HEAD, TRAINED, LatentTask
from icmbench.tasks.registry import kinds


def is_latent(entry: Mapping[str, Any]) -> bool:
    """True for the entry of a task that takes decoded latents."""
    return issubclass(kinds().get(str(entry["type"]), Task), LatentTask)


def trains_head(config: Mapping[str, Any]) -> bool:
    """True if a task of the run takes the head that the run trains."""
    entries = config["tasks"].values()
    return any(is_latent(e) and e.get("checkpoint", TRAINED) == TRAINED for e in entries)


def head_file(config: Mapping[str, Any]) -> Path:
    """The head that the run trains."""
    return Path(config["results"]) / "models" / "tasks" / f"{LATENT_HEAD}.safetensors"


def check_latent_tasks(
    config: Mapping[str, Any], tasks: Mapping[str, Task], problems: Problems
) -> None:
    """Add a problem for every codec entry without a latent, and for a task to compare with that is
    not there, of another kind or of other data sets; for a second task on latents, too.
    """
    latent = [task for task in tasks.values() if isinstance(task, LatentTask)]
    if len(latent) > 1:
        names = ", ".join(task.name for task in latent)
        problems.add(f"tasks: {names}: a run has one task on decoded latents")
    able = ", ".join(name for name, codec in codecs().items() if codec.has_latent)
    for task in latent:
        where, chosen = f"tasks.{task.name}", task.values["codecs"]
        problems.unknown_names(f"{where}.codecs", chosen, "codec entry", config["codecs"])
        for name in chosen:
            if name not in config["codecs"]:
                continue
            if not codec_of(config["codecs"], name).has_latent:
                problems.add(
                    f"{where}.codecs: {name} has no decoded latent: name codec entries of {able}"
                )
        other = tasks.get(task.values["against"])
        mine = set(config["tasks"][task.name]["datasets"])
        known = sorted(mine & {*config["datasets"]})
        for dataset in sorted({*known} - dict(units(config, known, chosen)).keys()):
            problems.add(f"{where}: data set {dataset!r} is coded by none of {', '.join(chosen)}")
        if other is None or isinstance(other, LatentTask) or other.produces != task.produces:
            problems.add(
                f"{where}.against: {task.values['against']!r} is no task on reconstructions that "
                f"gives {task.produces} predictions: name one"
            )
        elif missing := sorted(mine - set(config["tasks"][other.name]["datasets"])):
            problems.add(f"{where}.against: {other.name} is not on {', '.join(missing)}")
    for item in config["task_pictures"]:
        if isinstance(tasks.get(item["task"]), LatentTask):
            problems.add(
                f"task_pictures: {item['task']} takes no reconstruction: name another task"
            )
