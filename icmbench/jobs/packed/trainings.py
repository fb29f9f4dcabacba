"""The trainings of a run, part by part: the jobs that its rules would start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from icmbench.config.parts import Files, Parts
from icmbench.config.plan import Plan
from icmbench.jobs.bundled_or_trained import TrainingJob
from icmbench.tasks.bundled import FOLDER, PARTS, bundled_file
from icmbench.tasks.training.settings import scene_sets

NETWORKS: Final = ("autoencoder", "vgg", "contexts", "reverse")  # of MPD, without the features


def training_jobs(plan: Plan) -> dict[str, TrainingJob]:
    """The jobs of all parts that a run trains, by name, in an order in which they can be trained.

    Imported parts and the variants of Diff-ICMH's codec are left out.
    """
    found: dict[str, TrainingJob] = {}
    if plan.makes_models:
        found |= _mpd(plan, Parts(plan))
    if plan.makes_diff_icmh:
        found |= _diff_icmh(plan, Parts(plan))
    for part in PARTS.values():
        if part in plan.run.training.trained["tasks"]:
            found[part] = _task(plan, part)
    return found


def _mpd(plan: Plan, parts: Parts) -> dict[str, TrainingJob]:
    found: dict[str, TrainingJob] = {}
    trained = plan.run.training.trained["mpd"]
    for part in NETWORKS:
        files = {**parts.mpd_inputs(part), **parts.mpd_outputs(part)}
        if part in trained and "published" not in files:
            found[part] = _job(plan, files, parts.mpd_settings(part), part)
    for kind in plan.trained_kinds:
        files = {**parts.mpd_inputs("features"), **parts.mpd_outputs("features")}
        name = f"features-{kind}"
        found[name] = _job(plan, _filled(files, kind), parts.mpd_settings("features"), name)
    return found


def _diff_icmh(plan: Plan, parts: Parts) -> dict[str, TrainingJob]:
    found: dict[str, TrainingJob] = {}
    trained = plan.run.training.trained["diff_icmh"]
    for part in ("prior", "tagger"):
        files = {**parts.icmh_inputs(part), **parts.icmh_outputs(part)}
        if part == "tagger":
            files["prior"] = parts.icmh_files("prior")[0]
        if part in trained and "published" not in files:
            found[part] = _job(plan, files, parts.icmh_settings(part), part)
    for number in (1, 2):
        stage = f"stage_{number}"
        if stage in trained:
            files = {**parts.stage_inputs(stage, "main"), **parts.stage_outputs(stage, "main")}
            settings = parts.icmh_settings(stage, "main")
            found[stage] = _job(plan, files, settings, f"{stage}-main", stage=number)
    return found


def _task(plan: Plan, part: str) -> TrainingJob:
    training, home = plan.run.config["training"], f"{plan.results}/training"
    pools = [f"{home}/pool/{source}" for source in scene_sets(training)]
    files: Files = {
        "bundled": [str(bundled_file(part))] * (training["start"] == "bundled"),
        "records": [f"{pool}/records.csv" for pool in pools],
        "images": [f"{pool}/images" for pool in pools],
        "weights": [f"{plan.results}/models/{FOLDER}/{part}.safetensors"],
        "history": f"{home}/{part}.csv",
        "conditions": f"{home}/conditions/{part}.json",
    }
    settings = plan.run.training.settings("tasks", part)
    return _job(plan, files, settings, part, part=part)


def _job(
    plan: Plan, files: Files, settings: Mapping[str, Any], checkpoint: str, **more: Any
) -> TrainingJob:
    """A job of one process on one thread, as a rule starts it; its device is chosen later."""
    names = {field.name for field in fields(TrainingJob)}
    paths: Any = {
        name: Path(value) if isinstance(value, str) else [Path(each) for each in value]
        for name, value in files.items()
        if name in names
    }
    training = plan.run.config["training"]
    return TrainingJob(
        **paths,
        settings=settings,
        checkpoint=f"{plan.results}/training/checkpoints/{checkpoint}.pt",
        cache_mb=training["cache_mb"],
        compute={**training["compute"], "processes": 1},
        **more,
    )


def _filled(files: Files, kind: str) -> Files:
    """Files with a kind of features in place of the wildcard."""
    return {
        name: value.replace("{kind}", kind)
        if isinstance(value, str)
        else [each.replace("{kind}", kind) for each in value]
        for name, value in files.items()
    }
