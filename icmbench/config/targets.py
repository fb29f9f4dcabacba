"""Targets of the workflow that only some configurations have, and what each of them needs.

Snakemake alone says that it does not know a rule, whatever the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from icmbench.codecs.diff_icmh.model_folder import NAME as DIFFUSION
from icmbench.codecs.mpd.model_folder import NAME as MPD
from icmbench.codecs.registry import codec_class
from icmbench.codecs.zoo.published import NAMES as ZOO
from icmbench.config.adapted import adapted_tasks
from icmbench.config.models import entries_with_seeds
from icmbench.reporting.catalogue import CATALOGUE
from icmbench.reporting.paper_items import PAPER_ITEMS, PaperItem
from icmbench.tasks.latents import LatentTask

if TYPE_CHECKING:
    from icmbench.config.run import Run


def absent_targets(run: Run) -> dict[str, str]:
    """Target that the run does not have -> sentence about the missing part of the configuration."""
    found = {name: lacks(run) for name, lacks in NEEDS.items()}
    return {name: f"{name} needs {text}" for name, text in found.items() if text}


def paper_items(run: Run) -> list[tuple[PaperItem, str]]:
    """The papers' items, each with a sentence about what the configuration lacks, or ''."""
    found = []
    for item in PAPER_ITEMS:
        needs = [NEEDS[rule] for rule in item.rules if rule in NEEDS]
        needs += PAPER_NEEDS.get(item.target, [])
        text = next((text for need in needs if (text := need(run))), "")
        found.append((item, f"{item.target} needs {text}" if text else ""))
    return found


def _codec(codec: str, what: str = "") -> Callable[[Run], str]:
    """Need of a codec entry and, where given, of a section that lists images."""

    def lacks(run: Run) -> str:
        if codec not in {entry.codec for entry in run.codecs.values()}:
            return f"a codec entry of {codec}, and this run has none: add one to codecs"
        return _section(what)(run) if what else ""

    return lacks


def _section(key: str) -> Callable[[Run], str]:
    """Need of a section that lists images."""

    def lacks(run: Run) -> str:
        if run.config[key]:
            return ""
        return f"an image of this run in the section {key}: list one ({{dataset: ..., image: ...}})"

    return lacks


def _own_model(what: str, *more: Callable[[Run], str]) -> Callable[[Run], str]:
    """Need of `what`, which a run has that makes its own models, then of `more`."""

    def lacks(run: Run) -> str:
        models = {codec_class(entry.codec).model_name for entry in run.codecs.values()}
        if not models - {None, *ZOO}:
            return (
                f"{what} that a run with a codec entry of {MPD} or {DIFFUSION} makes: add one to "
                "codecs, and leave models out"
            )
        if given := run.config["models"]:
            return (
                f"{what} that a run makes together with its own models, and models: {given} is "
                "given: leave models out (models: null)"
            )
        return next((text for need in more if (text := need(run))), "")

    return lacks


def _trained_features(run: Run) -> str:
    if "features" in run.training.trained["mpd"]:
        return ""
    return "training.mpd.features.steps above 0: nothing is learned from pseudo-labels in this run"


def _losses(run: Run) -> str:
    trained = {part for parts in run.training.trained.values() for part in parts}
    if trained - {"contexts"} or adapted_tasks(run.config):  # tables of counts have no loss
        return ""
    return "a network that this run trains, and it trains none: set steps in the section training"


def _tasks(run: Run) -> str:
    return "" if run.tasks else "a task, and this run has none: add one to tasks"


def _task_pictures(run: Run) -> str:
    return _tasks(run) or _section("task_pictures")(run)


def _backbone(run: Run) -> str:
    from icmbench.tasks.backends.openmm_task import OpenMMTask

    if any(isinstance(task, OpenMMTask) for task in run.tasks.values()):
        return ""
    return "a task of type mmdet or mmseg, whose backbone it compares: add one to tasks"


def _robustness(run: Run) -> str:
    if run.config["robustness"]["trials"] > 0:
        return ""
    return "trials: set robustness.trials above 0, and robustness.dataset"


def _distribution(run: Run) -> str:
    if run.config["distribution"]["datasets"]:
        return ""
    if reason := run.unavailable.get("distribution"):
        return f"a weight file: {reason}"
    return "data sets: list them in distribution.datasets"


def _ablation(run: Run) -> str:
    return "" if run.config["ablation"]["full"] else "the section ablation (full, without, bpp)"


def _ablation_of(codec: str) -> Callable[[Run], str]:
    """Need of the ablation of a codec."""

    def lacks(run: Run) -> str:
        full = run.config["ablation"]["full"]
        if full and run.codecs[full].codec != codec:
            return (
                f"the ablation of {codec}, and ablation.full is {full}, an entry of another codec"
            )
        return ""

    return lacks


def _latent_task(run: Run) -> str:
    if any(isinstance(task, LatentTask) for task in run.tasks.values()):
        return ""
    return "a task on decoded latents (type: latent-segmentation): add one to tasks"


def _seeds(run: Run) -> str:
    if entries_with_seeds(run.codecs):
        return ""
    return "several seeds of a stochastic decoder: list them in a point of codecs (seed: [0, 1, 2])"


def _paired(run: Run) -> str:
    if run.config["anchors"] and run.config["rates"]:
        return ""
    return "an anchor and a rate: list them in anchors and rates"


def _equal_quality(run: Run) -> str:
    shown = {name for name, levels in run.config["qualities"].items() if levels}
    if run.config["anchors"] and shown.intersection(run.config["metrics"]):
        return ""
    return "an anchor and levels of a metric of this run: list them in anchors and qualities"


# Rules without wildcards that are not there in every run -> what the run lacks, empty: nothing.
NEEDS: dict[str, Callable[[Run], str]] = {
    "ablation": _ablation,
    "clusters_figure": _own_model("pseudo-labels"),
    "complexity_table": _codec(DIFFUSION),
    "diffusion_pictures": _codec(DIFFUSION, "diffusion"),
    "distribution_table": _distribution,
    "equal_quality": _equal_quality,
    "feature_gap": _backbone,
    "latent_tasks": _latent_task,
    "loss_figures": _losses,
    "mpd_framework": _codec(MPD, "hierarchy"),
    "mpd_framework_table": _codec(MPD, "hierarchy"),
    "mpd_states_table": _codec(MPD),
    "paired_table": _paired,
    "palette_hierarchy": _codec(MPD, "hierarchy"),
    "pseudo_labels_table": _own_model("pseudo-labels", _trained_features),
    "retrieval": _own_model("contrastive features", _trained_features),
    "robustness_table": _robustness,
    "taps_figure": _own_model("the taps of the VGG", _section("hierarchy")),
    "seeds_table": _seeds,
    "task_figures": _tasks,
    "task_pictures": _task_pictures,
    "tasks_tables": _tasks,
}
# Beside the needs of the rules that a paper's item comprises.
PAPER_NEEDS: dict[str, list[Callable[[Run], str]]] = {
    "paper_mpd": [_section("visual"), _ablation_of(MPD)],
    "paper_diff_icmh": [_section("visual"), _codec(DIFFUSION), _ablation_of(DIFFUSION)],
}
# The tables that such rules write.
TABLES: dict[str, list[str]] = {
    rule: [entry.name for entry in CATALOGUE if (entry.rule, entry.kind) == (rule, "table")]
    for rule in NEEDS
}
