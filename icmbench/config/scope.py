"""Axes and conditions of the catalogue of artefacts, computed from the plan of a run.

An axis of the catalogue is a list of wildcard values; an artefact that names the axis is made once
per element.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from icmbench.codecs.diff_icmh.training.settings import SECTION as ICMH
from icmbench.codecs.diff_icmh.training.settings import imports, tags_images
from icmbench.codecs.mpd.model_folder import level_names
from icmbench.reporting.artefacts import Scope
from icmbench.tasks.base import INSTANCES
from icmbench.tasks.latents import LATENT_HEAD

if TYPE_CHECKING:
    from icmbench.config.plan import Plan

Axis = list[dict[str, Any]]


def make_scope(plan: Plan) -> Scope:
    """Axes and conditions of a planned run, for the catalogue."""
    return Scope(_axes(plan), frozenset(name for name, holds in _conditions(plan) if holds))


def _conditions(plan: Plan) -> Iterable[tuple[str, Any]]:
    run, config = plan.run, plan.run.config
    imported = imports(config["training"])  # a prior with its own autoencoder, and no tagger
    kept = plan.makes_diff_icmh and ICMH.keeps_autoencoder(config["training"])
    yield "ablation", config["ablation"]["full"]
    yield "diff_icmh", plan.diff_icmh
    yield "diff_icmh_model", plan.makes_diff_icmh
    yield "diff_icmh_copies", plan.makes_diff_icmh and (plan.variants[1:] or not imported)
    yield "diff_icmh_tagger", plan.makes_diff_icmh and not imported
    yield "distribution", config["distribution"]["datasets"]
    yield "equal_quality", plan.qualities
    yield "hierarchy", plan.mpd and config["hierarchy"]
    yield "labels", plan.trained_kinds
    yield "task_models", set(run.training.trained["tasks"]) - {LATENT_HEAD}
    yield "models", plan.makes_models
    yield "latent_task", plan.latent_task
    yield "latent", plan.makes_mpd or (plan.makes_models and not imported and not kept)
    yield "mpd", plan.mpd
    yield "mpd_model", plan.makes_mpd
    yield "paired", config["anchors"] and config["rates"]
    yield "published", plan.published
    yield "robustness", plan.damages
    yield "seeds", plan.with_seeds
    yield "tasks", run.tasks


def _axes(plan: Plan) -> dict[str, Axis]:
    run, config = plan.run, plan.run.config
    hierarchy = _items(config["hierarchy"])
    damaged = [config["robustness"]["dataset"]]
    diffusion = _items(config["diffusion"]) if plan.diff_icmh else []
    ablation = config["ablation"]["bpp"] if config["ablation"]["full"] else []
    anchored = plan.units(codecs=config["anchors"])
    objects = [pair for pair in plan.pairs if run.tasks[pair[1]].produces == INSTANCES]
    stages = plan.variants if plan.makes_diff_icmh else []
    latent = run.tasks[plan.latent_task] if plan.latent_task else None
    latent_sets = config["tasks"][latent.name]["datasets"] if latent else []
    judged = {name for name, data in run.datasets.items() if data.annotated}
    judged |= {name for name, _ in plan.pairs}
    tagged = plan.makes_diff_icmh and tags_images(config["training"])
    drawn = {name for name, each in plan.adapted.items() if not plan.lossless(each["codec"])}
    adapted = [pair for pair in plan.pairs if pair[1] in drawn]
    return {
        "adapted": _each("task", plan.adapted),
        "adapted_pair": _pairs(adapted),
        "ablation_rate": [{"n": n, "bpp": bpp} for n, bpp in enumerate(ablation)],
        "ablation_set": _each("dataset", plan.sets_of(config["ablation"]["full"])),
        "anchored": [
            {"anchor": anchor, "dataset": data}
            for anchor in config["anchors"]
            for data in plan.sets_of(anchor)
        ],
        "annotated": _each("dataset", [n for n in run.datasets if n in judged]),
        "backbone": _pairs(plan.backbones),
        "backbones": [{}] * bool(plan.backbones),
        "damaged": _each("dataset", damaged if plan.damages else []),
        "damaged_unit": _units(plan, damaged, plan.coded) if plan.damages else [],
        "dataset": _each("dataset", run.datasets),
        "diffusion": diffusion,
        "diffusion_table": [{}] * bool(diffusion),
        "distribution_set": _each("dataset", config["distribution"]["datasets"]),
        "distribution_unit": _units(plan, config["distribution"]["datasets"]),
        "features": _each("kind", plan.features),
        "hierarchy": hierarchy if plan.mpd else [],
        "kind": _each("kind", plan.trained_kinds),
        "labelled_image": hierarchy if plan.trained_kinds else [],
        "latent_head": [{}] * (LATENT_HEAD in run.training.trained["tasks"]),
        "latent_set": _each("dataset", latent_sets),
        "latent_unit": _units(plan, latent_sets, latent.values["codecs"] if latent else []),
        "loss": _each("network", plan.losses),
        "mpd_set": _each("dataset", dict(plan.units(codecs=plan.mpd))),
        "mpd_unit": _units(plan, codecs=plan.mpd),
        "objects": _pairs(objects),
        "pair": _pairs(plan.pairs),
        "paired_set": _each("dataset", dict(anchored)),
        "shard": _each("shard", plan.shards),
        "source": _each("source", run.training.data),
        "tagged": _each("source", ICMH.sets(config["training"]) if tagged else []),
        "sweep": _each("guide", plan.sweeps),
        "sweep_set": _each("dataset", plan.sets_of(plan.sweep_anchor)),
        "tap": _each("tap", level_names(config["training"]["mpd"]["pseudo_labels"]["descriptors"])),
        "tapped_image": hierarchy[:1] if plan.makes_models else [],
        "task_dataset": _each(
            "dataset", sorted(data for data in run.datasets if plan.tasks_of(data))
        ),
        "task_unit": _units(plan, [data for data in run.datasets if plan.tasks_of(data)]),
        "unit": _units(plan),
        "task_part": _each("part", [p for p in run.training.trained["tasks"] if p != LATENT_HEAD]),
        "task_picture": _items(config["task_pictures"]),
        "variant": _each("variant", stages),
        "vgg": [{}] * ("vgg" in run.training.encoder_parts),
        "zoo": [{"model": model, "training": member} for model, member in plan.zoo_imports],
        "visual": _items(config["visual"]),
    }


def _each(wildcard: str, values: Iterable[Any]) -> Axis:
    return [{wildcard: value} for value in values]


def _items(items: Sequence[Mapping[str, Any]]) -> Axis:
    """Listed images of the configuration, each with its index `n`."""
    return [{**item, "n": n} for n, item in enumerate(items)]


def _units(
    plan: Plan, datasets: Iterable[str] | None = None, codecs: Iterable[str] | None = None
) -> Axis:
    return [{"dataset": data, "codec": codec} for data, codec in plan.units(datasets, codecs)]


def _pairs(pairs: Iterable[tuple[str, str]]) -> Axis:
    return [{"dataset": dataset, "task": task} for dataset, task in pairs]
