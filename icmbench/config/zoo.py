"""Weights of the zoo's codecs in a run: the trainings that entries use, and where their files lie.

A given folder of models holds them imported. A run with its own models imports them itself from the
published files among the downloads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icmbench.codecs.specs import expand_points
from icmbench.codecs.zoo.model_folder import member_files
from icmbench.codecs.zoo.published import NAMES, Training, of_file
from icmbench.config.sources import run_sources
from icmbench.core.errors import ConfigError
from icmbench.sources.catalogue import find_source


def zoo_trainings(config: Mapping[str, Any], name: str) -> list[Training]:
    """The trainings that a codec entry uses, sorted; none for other codecs.

    Raises ConfigError for wrong points.
    """
    entry = config["codecs"][name]
    codec = entry.get("codec", name)
    if codec not in NAMES:
        return []
    keys: list[dict[str, Any]] = [dict(p.encode) for p in expand_points(codec, entry["points"])]
    return sorted({Training(codec, one["metric"], one["quality"]) for one in keys})


def zoo_checkpoint(config: Mapping[str, Any], training: Training) -> Path:
    """The published file of a training among the downloads, whether it is there or not.

    Raises ConfigError where its source has no such file.
    """
    source = find_source(training.source, run_sources(config))
    for file in source.files:
        if of_file(file.name)[0] == training:
            return source.folder(Path(config["downloads"])) / file.name
    raise ConfigError(f"source {source.name}: no file of quality {training.quality}")


def zoo_files(config: Mapping[str, Any], training: Training) -> list[Path]:
    """The files of a training that a run takes: imported ones, or the published one."""
    if config["models"]:
        return member_files(Path(config["models"]), training)
    return [zoo_checkpoint(config, training)]


def lacking_weights(config: Mapping[str, Any], name: str) -> str:
    """The reason why a codec entry of the zoo has not all of its weights, and the remedy.

    Empty where it has, and for other codecs.
    """
    try:
        found = zoo_trainings(config, name)
    except ConfigError:
        return ""  # reported with the points of all entries
    missing = [
        training
        for training in found
        if not all(path.is_file() for path in zoo_files(config, training))
    ]
    if not missing:
        return ""
    which = ", ".join(training.member for training in missing)
    if folder := config["models"]:
        remedies = [training.remedy(folder) for training in missing]
    else:
        folder, known = config["downloads"], run_sources(config)
        sources = [find_source(training.source, known) for training in missing]
        remedies = [f"`{source.command(Path(folder))}`" for source in sources]
    return f"no weights of {which} in {folder}: run {', '.join(dict.fromkeys(remedies))}"
