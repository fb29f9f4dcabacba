"""A run: its validated configuration and the objects that the configuration describes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from icmbench.codecs.diff_icmh import model_folder as icmh
from icmbench.codecs.mpd import model_folder as mpd
from icmbench.codecs.registry import codec_of
from icmbench.config.adapted import check_adapted
from icmbench.config.braces import check_braces
from icmbench.config.checks import check_references
from icmbench.config.folders import check_folders
from icmbench.config.left_out import (
    drop_references,
    drop_unavailable,
    drop_uncoded,
    drop_unknown_images,
    shards_hint,
)
from icmbench.config.load import complete_or_note, removed_entries
from icmbench.config.models import coding_settings
from icmbench.config.named_sources import resolve_sources
from icmbench.config.problems import Problems
from icmbench.config.sources import check_sources
from icmbench.config.tasks import make_tasks
from icmbench.config.training import Training, check_points, plan_training
from icmbench.core.versions import runs_jobs
from icmbench.datasets.base import Dataset
from icmbench.datasets.registry import make_dataset
from icmbench.evaluation.shard import CodecEntry, make_codec_entry
from icmbench.evaluation.units import (
    check_pictured,
    check_units,
    coded_by,
    specs_on,
    without_units,
)
from icmbench.metrics.availability import replaced_weights
from icmbench.tasks.base import Task

ALONE = (
    "this environment holds Snakemake and no package of a job: what codecs and metrics need was "
    "not looked for, and jobs run with --sdm conda"
)


@dataclass(frozen=True)
class Run:
    """A validated configuration and the objects that it describes.

    Attributes:
        config: the configuration with every default filled in.
        datasets: data sets by name.
        codecs: codec entries by name.
        tasks: task models by name.
        training: training data and trained parts.
        notices: sentences about entries that were left out or are not sensible.
        unavailable: reason by name of each codec entry and metric that cannot run here.
    """

    config: Mapping[str, Any]
    datasets: Mapping[str, Dataset]
    codecs: Mapping[str, CodecEntry]
    tasks: Mapping[str, Task] = field(default_factory=dict)
    training: Training = field(default_factory=Training)
    notices: tuple[str, ...] = ()
    unavailable: Mapping[str, str] = field(default_factory=dict)


def make_run(config: Mapping[str, Any]) -> Run:
    """Validate a configuration down to every codec spec, data-set option, metric and file.

    Raises one error that lists every problem with its key path.
    """
    problems = Problems()
    filled = complete_or_note(config, problems)
    check_braces(filled, problems)
    removed = removed_entries(config)
    notices = [f"{s}.{n} is null: left out" for s, names in removed.items() for n in names]
    unavailable = drop_unavailable(filled, removed, problems)
    notices += drop_uncoded(filled, removed)
    notices += [*drop_references(filled, removed), *_replaced(filled)]
    declared = {s: _names(config.get(s)) | {*filled[s]} for s in ("datasets", "codecs", "tasks")}
    datasets = _datasets(filled, problems)
    entries = _codec_entries(filled, problems)
    check_references(filled, declared, problems)
    coded = _check_units(filled, declared["codecs"], entries, problems)
    tasks = make_tasks(filled, datasets, declared["datasets"], problems)
    check_adapted(filled, entries, problems)
    training = Training()
    if resolve_sources(filled, problems):  # else its files cannot be looked at
        check_points(filled, entries, problems)
        training = plan_training(filled, datasets, entries, problems)
    ids = {}
    for name, dataset in datasets.items():
        with problems.collect(f"datasets.{name}"):
            ids[name] = dataset.image_ids()
            notices += [f"datasets.{name}: {note}" for note in dataset.notes()]
    check_sources(filled, [*datasets.values(), *training.sources.values()], problems)
    if coded:
        notices += check_folders(filled, entries, ids, problems)
    notices += [*drop_unknown_images(filled, ids), *shards_hint(filled, ids), *training.notices]
    problems.raise_all()
    return Run(filled, datasets, entries, tasks, training, tuple(notices), unavailable)


def announcements(run: Run) -> list[str]:
    """Sentences to print before anything runs: unavailable, left out or not sensible entries."""
    absent = [f"unavailable: {name}: {reason}" for name, reason in run.unavailable.items()]
    return [*absent, *run.notices, *([] if runs_jobs() else [ALONE])]


def _replaced(config: Mapping[str, Any]) -> list[str]:
    """Sentences on weight files of metrics that are not the published ones."""
    used = [*config["metrics"], *["fid"] * bool(config["distribution"]["datasets"])]
    return replaced_weights(used, Path(config["weights"]) if config["weights"] else None)


def _names(section: object) -> set[str]:
    """The names in a section as it stands in a configuration, which may be no mapping."""
    return {str(name) for name in section} if isinstance(section, Mapping) else set()


def _check_units(
    config: Mapping[str, Any],
    declared: Collection[str],
    entries: Mapping[str, CodecEntry],
    problems: Problems,
) -> bool:
    """Check what data sets state about the codec entries and points that code them.

    Returns False where it is not known what is coded.
    """
    before = len(problems.errors)
    for dataset in config["datasets"]:
        with problems.collect(f"datasets.{dataset}"):
            check_units(config, dataset, declared)
            for name in coded_by(config, dataset):
                if name in entries:
                    specs_on(config, dataset, entries[name])
    known = len(problems.errors) == before
    for section, codec in (("hierarchy", mpd.NAME), ("diffusion", icmh.NAME)):
        items = [item for item in config[section] if item["dataset"] in config["datasets"]]
        with problems.collect(section):
            check_pictured({**config, section: items}, section, entries.values(), codec)
    return known


def _datasets(config: Mapping[str, Any], problems: Problems) -> dict[str, Dataset]:
    downloads, results = Path(config["downloads"]), Path(config["results"])
    datasets: dict[str, Dataset] = {}
    for name, entry in config["datasets"].items():
        with problems.collect(f"datasets.{name}"):
            images = without_units(entry)
            datasets[name] = make_dataset(name, images, downloads, results, config["sources"])
            datasets[name].offline = config["offline"]
    return datasets


def _codec_entries(config: Mapping[str, Any], problems: Problems) -> dict[str, CodecEntry]:
    entries: dict[str, CodecEntry] = {}
    for name in config["codecs"]:
        with problems.collect(f"codecs.{name}"):
            # The device is resolved in the jobs: the machine that plans may have no GPU.
            settings = {**coding_settings(config, name), "device": "cpu"}
            if "definition" in settings:  # with its texts: it is that of this process
                settings["definition"] = codec_of(config["codecs"], name).definition
            entries[name] = make_codec_entry(name, settings)
    return entries
