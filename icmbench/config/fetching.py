"""Published files that a configuration needs: its sources, and the models to import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from icmbench.config.command_line import merged
from icmbench.config.load import complete
from icmbench.config.models import models_folder
from icmbench.config.named_sources import IMPORTS, named_sources, replace_value
from icmbench.config.sources import run_sources
from icmbench.config.tasks import ZOO, ZOOS, task_sources
from icmbench.config.training_data import make_training_set
from icmbench.config.zoo import zoo_files, zoo_trainings
from icmbench.core.errors import ConfigError
from icmbench.datasets.registry import make_dataset
from icmbench.evaluation.units import without_units
from icmbench.metrics.availability import sources_of
from icmbench.sources.catalogue import Source, find_source
from icmbench.tasks.backends.openmm_source import chosen_source


def read_config(paths: Sequence[Path]) -> dict[str, Any]:
    """The completed configuration of one or several files; later ones change earlier ones.

    Raises ConfigError for a file that cannot be read and for a wrong configuration.
    """
    config: dict[str, Any] = {}
    for path in paths:
        try:
            found = yaml.safe_load(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
        if not isinstance(found, Mapping):
            raise ConfigError(f"{path}: not a configuration: expected keys and values")
        config = merged(config, found)
    return complete(config)


def wanted_sources(config: Mapping[str, Any]) -> list[tuple[Source, Path]]:
    """The sources that a completed configuration needs, sorted, each with its downloads' folder.

    Those of data sets, training sets, metrics and tasks, and those that keys name. Sources of a
    model that is imported already are left out.
    """
    downloads, known = Path(config["downloads"]), run_sources(config)
    more = (downloads, Path(config["results"]), config["sources"])
    datasets = [
        make_dataset(name, without_units(entry), *more)
        for name, entry in config["datasets"].items()
    ]
    for name, entry in config["training"]["data"].items():
        datasets.append(make_training_set(name, entry, *more))
    found = {name: find_source(name, known) for data in datasets for name in data.sources()}
    for place, source in named_sources(config).items():
        if place[0] != IMPORTS or str(place[1]) in imports_left(config):
            found[source.name] = source
    for name in config["codecs"]:
        for training in zoo_trainings(config, name):
            if not (config["models"] and all(p.is_file() for p in zoo_files(config, training))):
                found[training.source] = find_source(training.source, known)
    for task, entry in config["tasks"].items():
        found |= {source.name: source for source in task_sources(config, task).values()}
        if entry["type"] in ZOOS and entry.get("checkpoint") == ZOO:
            source = chosen_source(ZOOS[entry["type"]], str(entry.get("config")), known)
            found[source.name] = source
    places = {name: (source, downloads) for name, source in found.items()}
    if config["weights"]:
        metrics = [*config["metrics"], *["fid"] * bool(config["distribution"]["datasets"])]
        for name in sorted({name for metric in metrics for name in sources_of(metric)}):
            places.setdefault(name, (find_source(name, known), Path(config["weights"])))
    return [places[name] for name in sorted(places)]


def imports_left(config: Mapping[str, Any]) -> list[str]:
    """Models of the section `imports` whose folder does not exist yet.

    Raises ConfigError where they have no folder to be imported into.
    """
    if config[IMPORTS] and not config["models"]:
        raise ConfigError("imports: models is null: set it to the folder to import into")
    return [name for name in config[IMPORTS] if not (models_folder(config) / name).exists()]


def import_options(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Options of a model's import, names of sources replaced by paths."""
    filled, downloads = {IMPORTS: {**config[IMPORTS]}}, Path(config["downloads"])
    for place, source in named_sources(config).items():
        if place[:2] == (IMPORTS, model):
            replace_value(filled, place, str(source.path(downloads)))
    options: dict[str, Any] = filled[IMPORTS][model]
    return options
