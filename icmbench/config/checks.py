"""Checks of a completed configuration, section by section: names that refer to other sections."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.codecs.diff_icmh import model as icmh
from icmbench.codecs.diff_icmh.codec import MAIN
from icmbench.codecs.diff_icmh.vocabulary import check_tags, model_vocabulary
from icmbench.config.left_out import IMAGE_LISTS
from icmbench.config.models import models_folder
from icmbench.config.problems import Problems
from icmbench.evaluation.shard import CodecEntry
from icmbench.metrics import METRICS


def check_references(
    config: Mapping[str, Any], declared: Mapping[str, Collection[str]], problems: Problems
) -> None:
    """Add a problem for every name of a metric, codec entry, data set or task that is unknown.

    Args:
        config: the completed configuration.
        declared: by section (`datasets`, `codecs`, `tasks`), the names in the configuration as
            it was given: a wrong entry is one problem, and a reference to it is no second one.
        problems: collects them.
    """
    problems.unknown_names("metrics", config["metrics"], "metric", METRICS)
    kind = "anchor (no codec entry; add one or drop the anchor)"
    problems.unknown_names("anchors", config["anchors"], kind, declared["codecs"])
    _check_ablation(config["ablation"], declared["codecs"], problems)
    for key in IMAGE_LISTS:
        names = [item["dataset"] for item in config[key]]
        problems.unknown_names(key, names, f"data set of {key}", declared["datasets"])
    if config["robustness"]["trials"]:
        name, kind = config["robustness"]["dataset"] or "", "data set of robustness"
        problems.unknown_names("robustness.dataset", [name], kind, declared["datasets"])
    if config["weights"]:
        expected = "the weight files of LPIPS and DISTS"
        problems.missing_folder("weights", Path(config["weights"]), expected)
    for item in config["task_pictures"]:
        kind, name = "task of task_pictures", item["task"]
        problems.unknown_names("task_pictures", [name], kind, declared["tasks"])
        entry = config["tasks"].get(name)
        if entry and item["dataset"] not in entry["datasets"]:
            problems.add(f"task_pictures: task {name} is not on {item['dataset']!r}")


def _check_ablation(
    ablation: Mapping[str, Any], codecs: Collection[str], problems: Problems
) -> None:
    if ablation["full"]:
        entries = [ablation["full"], *ablation["without"].values()]
        problems.unknown_names("ablation", entries, "codec entry of ablation", codecs)
        if not (ablation["without"] and ablation["bpp"]):
            problems.add("ablation: without and bpp say what is compared, and at which rates")


def check_variants(
    config: Mapping[str, Any], entries: Mapping[str, CodecEntry], problems: Problems
) -> None:
    """A problem where a point names a variant that this run does not train."""
    if config["models"]:
        return
    used = {
        str(dict(point.encode).get("variant", MAIN))
        for entry in entries.values()
        for point in entry.points
    }
    kind, known = "variant of training.variants", config["training"]["variants"]
    problems.unknown_names("codecs", sorted(used - {MAIN}), kind, known)


def check_tags_of_points(
    config: Mapping[str, Any], entries: Mapping[str, CodecEntry], problems: Problems
) -> None:
    """A problem where a point names a tag that is not in its model's vocabulary.

    A model that this run trains keeps the bundled vocabulary; from scratch the training set decides
    it, which is not there yet. What a given folder lacks is a problem of its own.
    """
    if not config["models"] and config["training"]["start"] == "scratch":
        return
    home = models_folder(config) / icmh.NAME if config["models"] else icmh.bundled()
    for name, entry in entries.items():
        if entry.codec != icmh.NAME:
            continue
        for text, variant in sorted({_tags_and_variant(point.encode) for point in entry.points}):
            own = config["models"] and variant != MAIN
            folder = home / icmh.VARIANTS / variant if own else home
            if folder.is_dir():
                with problems.collect(f"codecs.{name}"):
                    check_tags(text, model_vocabulary(folder))


def _tags_and_variant(encode: Sequence[tuple[str, Any]]) -> tuple[str, str]:
    keys = dict(encode)
    return str(keys["tags"]), str(keys["variant"])
