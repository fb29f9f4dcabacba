"""Tasks whose model is adapted to a codec: checks, files, parameters of their training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icmbench.codecs.registry import codec_class
from icmbench.config.models import coding_settings
from icmbench.config.problems import Problems
from icmbench.core.errors import ConfigError
from icmbench.evaluation.shard import CodecEntry
from icmbench.evaluation.units import matching_specs, units
from icmbench.tasks.adaptation import ADAPT, FOLDER, Adaptation, adaptation
from icmbench.tasks.bundled import BUNDLED, PARTS
from icmbench.tasks.bundled import FOLDER as TASK_FOLDER
from icmbench.tasks.training.settings import scene_sets


def adapted_tasks(config: Mapping[str, Any]) -> dict[str, Adaptation]:
    """The adapted tasks of a run by name; ConfigError for a wrong option."""
    given = {name: adaptation(name, entry.get(ADAPT)) for name, entry in config["tasks"].items()}
    return {name: each for name, each in given.items() if each is not None}


def adapted_file(config: Mapping[str, Any], name: str) -> Path:
    """The weight file of an adapted task."""
    return Path(config["results"]) / "models" / TASK_FOLDER / FOLDER / f"{name}.safetensors"


def adapted_part(config: Mapping[str, Any], name: str) -> str:
    """The bundled model that an adapted task starts from."""
    return PARTS[config["tasks"][name]["type"]]


def compared_with(config: Mapping[str, Any], name: str) -> str:
    """The task of the same model as it is, with the same options, on the same data sets.

    Raises ConfigError where there is none.
    """
    entry = config["tasks"][name]
    for other, its in config["tasks"].items():
        own = its.get("checkpoint", BUNDLED) == BUNDLED and not its.get(ADAPT)
        if own and _model(its) == _model(entry) and {*entry["datasets"]} <= {*its["datasets"]}:
            return str(other)
    raise ConfigError(
        f"tasks.{name}: {ADAPT}: there is no task of the model as it is to compare with: add an "
        f"entry of the type {entry['type']}, without {ADAPT} but with its other options, on "
        f"{', '.join(entry['datasets'])}"
    )


def _model(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of an entry that decide scores besides the weights and the images."""
    return {k: v for k, v in entry.items() if k not in (ADAPT, "checkpoint", "datasets")}


def adapted_specs(name: str, adapted: Adaptation, entry: CodecEntry) -> list[str]:
    """Codec specs of the points that a task is adapted to; ConfigError for a grid of none."""
    if not adapted.points:
        return [point.spec for point in entry.points]
    return matching_specs(entry, adapted.points, f"tasks.{name}.{ADAPT}.points")


def adapted_settings(
    config: Mapping[str, Any], name: str, entries: Mapping[str, CodecEntry]
) -> dict[str, Any]:
    """Job parameters of an adapted task's training.

    `codec`: name and arguments of `make_codec_entry`, with the points that it is adapted to.
    """
    adapted = adapted_tasks(config)[name]
    specs = adapted_specs(name, adapted, entries[adapted.codec])
    return {
        "steps": adapted.steps,
        "batch": adapted.batch,
        "learning_rate": adapted.learning_rate,
        "images": adapted.images,
        "seed": config["training"]["seed"],
        "start": "bundled",
        "codec": (adapted.codec, {**coding_settings(config, adapted.codec), "only": specs}),
    }


def check_adapted(
    config: Mapping[str, Any], entries: Mapping[str, CodecEntry], problems: Problems
) -> None:
    """Add a problem for every adapted task whose codec, points, scenes or other half is missing."""
    for name, adapted in _readable(config, problems).items():
        with problems.collect():
            compared_with(config, name)
            _check_codec(config, name, adapted, entries)
            if not scene_sets(config["training"]):
                raise ConfigError(
                    f"tasks.{name}: {ADAPT}: no training set of training.data is of scenes: it is "
                    "fine-tuned on training scenes"
                )


def _readable(config: Mapping[str, Any], problems: Problems) -> dict[str, Adaptation]:
    """The adapted tasks; none where an option is wrong, which the task itself reports."""
    try:
        return adapted_tasks(config)
    except ConfigError:
        return {}


def _check_codec(
    config: Mapping[str, Any], name: str, adapted: Adaptation, entries: Mapping[str, CodecEntry]
) -> None:
    entry = entries.get(adapted.codec)
    where = f"tasks.{name}.{ADAPT}.codec"
    if entry is None:
        raise ConfigError(
            f"{where}: {adapted.codec!r} is no codec entry of this run; there are "
            f"{', '.join(entries)}"
        )
    if codec_class(entry.codec).foreign:
        raise ConfigError(f"{where}: {adapted.codec} codes nothing here: name another entry")
    adapted_specs(name, adapted, entry)
    for dataset in config["tasks"][name]["datasets"]:
        if dataset in config["datasets"] and not units(config, [dataset], [adapted.codec]):
            raise ConfigError(f"{where}: data set {dataset!r} is not coded by {adapted.codec}")
