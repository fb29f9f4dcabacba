"""Training plan of a run: the training data, and the trained parts of every section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from icmbench.codecs.registry import codec_class, training_sections
from icmbench.codecs.zoo.published import NAMES as ZOO
from icmbench.config.models import models_folder
from icmbench.config.problems import Problems
from icmbench.config.tasks import task_parts
from icmbench.config.training_data import check_training_data, make_training_set
from icmbench.core.errors import ConfigError
from icmbench.datasets.base import Dataset
from icmbench.evaluation.shard import CodecEntry
from icmbench.tasks.adaptation import ADAPT
from icmbench.tasks.training import settings as tasks
from icmbench.training.section import TrainingSection


def sections() -> dict[str, TrainingSection]:
    """The sections of `training` by key: those of trained codecs, and that of the task models."""
    found = [*training_sections(), tasks.SECTION]
    return {section.key: section for section in found}


@dataclass(frozen=True)
class Training:
    """Training data and trained parts of a run.

    Attributes:
        config: the section `training` of the configuration.
        sources: all training sets by name, whether or not anything is trained on them.
        data: the training sets whose images the run prepares; empty where nothing is trained.
        trained: the trained parts by section (`mpd`, `diff_icmh`, `tasks`).
        encoder_parts: parts of MPD's model that only its encoder uses, where the run makes them.
        notices: sentences to print before anything runs.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, Dataset] = field(default_factory=dict)
    data: Mapping[str, Dataset] = field(default_factory=dict)
    trained: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    encoder_parts: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    def settings(self, section: str, part: str, **wildcards: str) -> dict[str, Any]:
        """Job parameters of the training of a part; empty where it is a copy of the bundled one."""
        if part not in self.trained[section]:
            return {}
        return sections()[section].settings(self.config, part, **wildcards)


def plan_training(
    config: Mapping[str, Any],
    datasets: Mapping[str, Dataset],
    entries: Mapping[str, CodecEntry],
    problems: Problems,
) -> Training:
    """Plan the training data and the trained parts of every section.

    The sections are checked even where no codec needs a model. Where only task models are trained,
    the training data are the rendered scenes.
    """
    training = config["training"]
    for section in sections().values():
        with problems.collect():
            section.check(training)
    sources = _sources(config, datasets, problems)
    trained: dict[str, tuple[str, ...]] = dict.fromkeys(sections(), ())
    encoder_parts: list[str] = []
    with problems.collect():
        encoder_parts = _codec_parts(config, entries, trained)
    with problems.collect():
        trained["tasks"] = tuple(tasks.SECTION.trained(training, [], task_parts(config)))
    adapted = any(entry.get(ADAPT) for entry in config["tasks"].values())
    used = set(tasks.scene_sets(training)) if trained["tasks"] or adapted else set()
    for key, section in sections().items():
        if key != "tasks" and trained[key]:
            with problems.collect():
                used |= _used_sets(section, training)
    data = {name: source for name, source in sources.items() if name in used}
    if any(parts for key, parts in trained.items() if key != "tasks"):
        if network := training["mpd"]["pseudo_labels"]["network"]:
            where = "training.mpd.pseudo_labels.network"
            problems.missing_file(where, Path(network), "torchvision's VGG-16 (.pth)")
        for name, source in data.items():
            with problems.collect(f"training.data.{name}"):
                source.image_ids()  # a missing folder is reported before the run, not in a job
    notices = [n for key, s in sections().items() for n in s.notices(training, trained[key])]
    return Training(training, sources, data, trained, tuple(encoder_parts), tuple(notices))


def _used_sets(section: TrainingSection, training: Mapping[str, Any]) -> set[str]:
    """Names of the training sets of a section that trains a part; ConfigError for none."""
    if not (found := section.sets(training)):
        raise ConfigError(f"training.data: the key `use` of no training set names {section.key}")
    return set(found)


def check_points(
    config: Mapping[str, Any], entries: Mapping[str, CodecEntry], problems: Problems
) -> None:
    """Add a problem for every point that names a tag, rate or variant its model does not have."""
    models = models_folder(config) if config["models"] else None
    for section in training_sections():
        for name, entry in entries.items():
            if entry.codec == section.model:
                points = [dict(point.encode) for point in entry.points]
                for error in section.wrong_points(config["training"], points, models):
                    problems.add_error(error, f"codecs.{name}")


def _sources(
    config: Mapping[str, Any], datasets: Mapping[str, Dataset], problems: Problems
) -> dict[str, Dataset]:
    """All training sets by name."""
    downloads, results = Path(config["downloads"]), Path(config["results"])
    sources: dict[str, Dataset] = {}
    for name, entry in config["training"]["data"].items():
        with problems.collect(f"training.data.{name}"):
            sources[name] = make_training_set(name, entry, downloads, results, config["sources"])
            sources[name].offline = config["offline"]
    with problems.collect():
        check_training_data(sources, datasets, config["split"])
    return sources


def _codec_parts(
    config: Mapping[str, Any],
    entries: Mapping[str, CodecEntry],
    trained: dict[str, tuple[str, ...]],
) -> list[str]:
    """Fill in `trained` for the codecs' models; returns the parts that only encoders use."""
    training = config["training"]
    known = {section.model: section for section in training_sections()}
    points: dict[str, list[dict[str, Any]]] = {}
    for name, entry in entries.items():
        model = codec_class(entry.codec).model_name
        if model is not None:
            if model in ZOO and not config["models"]:
                continue  # imported, not trained
            if model not in known and not config["models"]:
                raise ConfigError(
                    f"codec {name} needs the model {model!r}, made elsewhere: set models"
                )
            points.setdefault(model, []).extend(dict(point.encode) for point in entry.points)
    if config["models"]:
        for model in sorted(points):
            _check_given(models_folder(config) / model, known.get(model), points[model])
        return []
    found: dict[str, list[str]] = {}
    for model, section in known.items():
        users = [other for other in known.values() if other.model in points]
        needed = [part for user in users for part in user.needed(training).get(section.key, ())]
        parts = None if model in points else needed
        found[section.key] = section.trained(training, points.get(model, []), parts)
    if not points:
        return []
    encoder_parts = []
    for model, section in known.items():
        trained[section.key] = tuple(found[section.key])
        if model in points:
            made = section.encoder_parts(training, points[model], found[section.key])
            encoder_parts += made
            if training["start"] == "bundled":
                section.check_model(None, points[model], made)
    return encoder_parts


def _check_given(
    folder: Path, section: TrainingSection | None, points: list[dict[str, Any]]
) -> None:
    """ModelError where a given model folder lacks a part, ConfigError where it does not exist."""
    if section:
        section.check_model(folder, points, ())
    elif not folder.is_dir():
        raise ConfigError(f"model folder {folder}: no such folder")
