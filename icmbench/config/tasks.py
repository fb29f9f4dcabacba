"""Task entries: task models of a run, their weight files, and the weights that are downloaded."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from icmbench.config.adapted import adapted_file
from icmbench.config.latent_tasks import (
    check_latent_tasks,
    head_file,
    is_latent,
    trains_head,
)
from icmbench.config.problems import Problems
from icmbench.config.sources import run_sources
from icmbench.core.errors import ConfigError
from icmbench.core.fetch_command import FETCHED, fetch_command
from icmbench.datasets.base import Dataset
from icmbench.sources.catalogue import Source
from icmbench.sources.completeness import is_complete, missing_text
from icmbench.tasks.adaptation import ADAPT
from icmbench.tasks.base import ORIGINALS, Task
from icmbench.tasks.bundled import BUNDLED
from icmbench.tasks.bundled import FOLDER as TASK_FOLDER
from icmbench.tasks.bundled import PARTS as BUNDLED_TASKS
from icmbench.tasks.latents import LATENT_HEAD, TRAINED
from icmbench.tasks.registry import make_task

ZOO = "zoo"  # as `checkpoint`: the file that the library publishes
ZOOS = {"mmdet": "mmdet", "mmdet-panoptic": "mmdet", "mmseg": "mmseg"}  # kind -> library
WEIGHT_KEYS = ("checkpoint", "model", "weights")  # options of tasks that name a weight file


def make_tasks(
    config: Mapping[str, Any],
    datasets: Mapping[str, Dataset],
    declared: Collection[str],
    problems: Problems,
) -> dict[str, Task]:
    """The task models of a run, each checked against the data sets and files that it names."""
    tasks: dict[str, Task] = {}
    for name, entry in config["tasks"].items():
        where = f"tasks.{name}"
        problems.unknown_names(where, entry["datasets"], f"data set of task {name}", declared)
        with problems.collect(where):
            tasks[name] = make_task(name, task_entry(config, name))
            _check_reference(entry, tasks[name], datasets)
            _check_task_files(config, tasks[name], problems)
    check_latent_tasks(config, tasks, problems)
    return tasks


def _check_reference(entry: Mapping[str, Any], task: Task, datasets: Mapping[str, Dataset]) -> None:
    """ConfigError where there is nothing that the answers of a task can be compared with."""
    if not task.needs_annotations:
        return
    if entry.get("reference") == ORIGINALS:
        raise ConfigError(
            f"task {task.name}: reference: {ORIGINALS}: answers of the kind {task.produces} are "
            "compared with annotations alone"
        )
    for dataset in entry["datasets"]:
        if dataset in datasets and not datasets[dataset].annotated:
            raise ConfigError(f"task {task.name}: data set {dataset!r} has no annotations")


def _check_task_files(config: Mapping[str, Any], task: Task, problems: Problems) -> None:
    """Files that a task names by path must be there; those that this run makes or fetches not."""
    folder = Path(config["results"]) / "models" / TASK_FOLDER
    made = {folder / f"{part}.safetensors" for part in BUNDLED_TASKS.values()}
    downloads = task_downloads(config)
    made |= {head_file(config), *(Path(path) for path in downloads)}
    made |= {
        adapted_file(config, name) for name, each in config["tasks"].items() if each.get(ADAPT)
    }
    for weights, (url, _) in downloads.items():
        if config["offline"] and not Path(weights).is_file():
            problems.add(
                f"tasks: {weights}: not fetched, and offline is set: fetch {url} where there is a "
                "network, and put it there"
            )
    for path in task.files():
        if path not in made:
            given = config["tasks"][task.name].items()
            keys = [k for k, v in given if isinstance(v, str) and Path(v).expanduser() == path]
            where = ".".join(["tasks", task.name, *keys[:1]])
            problems.missing_file(where, path, "the model's file: correct the path, or fetch it")


def task_parts(config: Mapping[str, Any]) -> list[str]:
    """The bundled task models that a run uses, and the head that it trains, sorted."""
    entries = config["tasks"].values()
    used = {e["type"] for e in entries if e["type"] in BUNDLED_TASKS and _own(e)}
    heads = [LATENT_HEAD] * trains_head(config)
    return sorted([*(BUNDLED_TASKS[kind] for kind in used), *heads])


def task_entry(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A task's entry for its jobs: all weights are local files.

    A bundled model is the file that this run makes of it, weights given by URL are those that the
    run fetches, `zoo` the checkpoint that mmdet or mmseg publishes for the configuration, the name
    of a source its fetched file or folder.

    Raises ConfigError where those of the last two are not fetched.
    """
    entry = dict(config["tasks"][name])
    if entry["type"] in BUNDLED_TASKS and _own(entry):
        file = f"{BUNDLED_TASKS[entry['type']]}.safetensors"
        entry["checkpoint"] = str(Path(config["results"]) / "models" / TASK_FOLDER / file)
    if entry.get(ADAPT) and _own(config["tasks"][name]):
        entry["checkpoint"] = str(adapted_file(config, name))
    if is_latent(entry) and entry.get("checkpoint", TRAINED) == TRAINED:
        entry["checkpoint"] = str(head_file(config))
    if entry["type"] in ZOOS and entry.get("checkpoint") == ZOO:
        entry["checkpoint"] = str(_published(config, name, entry))
    for key in WEIGHT_KEYS:
        if _is_url(entry.get(key)):
            entry[key] = str(_fetched(config, name, entry[key]))
    for key, source in task_sources(config, name).items():
        downloads = Path(config["downloads"])
        if not is_complete(source, downloads):
            text = missing_text(source, downloads, offline=config["offline"])
            raise ConfigError(f"task {name}: {key}: {text}")
        entry[key] = str(source.path(downloads))
    return entry


def task_sources(config: Mapping[str, Any], name: str) -> dict[str, Source]:
    """Options of a task that name a source, with that source."""
    entry, known = config["tasks"][name], run_sources(config)
    named = {key: str(entry[key]) for key in WEIGHT_KEYS if key in entry}
    return {k: known[v] for k, v in named.items() if v in known}


def task_downloads(config: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Files of weights that tasks give by URL -> the URL and the sha256 of the file."""
    found = {}
    for name, entry in config["tasks"].items():
        for key in WEIGHT_KEYS:
            if _is_url(url := entry.get(key)):
                found[str(_fetched(config, name, url))] = (url, entry["sha256"])
    return found


def _is_url(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _fetched(config: Mapping[str, Any], name: str, url: str) -> Path:
    """Location of weights from a URL; raises ConfigError if no checksum is given."""
    digest = config["tasks"][name].get("sha256")
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise ConfigError(f"task {name}: {url} needs sha256, the digest of the file (64 digits)")
    return Path(config["downloads"]) / "weights" / digest[:16] / url.rpartition("/")[2]


def _published(config: Mapping[str, Any], name: str, entry: Mapping[str, Any]) -> Path:
    """The checkpoint of a model of mmdet or mmseg in the folder that `icmbench fetch` made."""
    model, library = entry.get("config"), ZOOS[entry["type"]]
    if not isinstance(model, str) or model.endswith(".py"):
        raise ConfigError(f"task {name}: checkpoint: {ZOO} needs config, a name of {library}")
    folder = Path(config["downloads"]) / f"{library}-{model}"
    try:
        (file,) = json.loads((folder / FETCHED).read_text("utf-8"))["files"]
    except FileNotFoundError:
        command = fetch_command(f"{library}/{model}", config["downloads"])
        raise ConfigError(
            f"task {name}: {folder}: the published checkpoint of {model} is not fetched: run "
            f"`{command}`"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"task {name}: {folder / FETCHED}: damaged: {error}") from error
    return folder / str(file)


def _own(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("checkpoint", BUNDLED) == BUNDLED)
