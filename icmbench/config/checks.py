"""Checks of a completed configuration, section by section: names that refer to other sections."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from icmbench.config.left_out import IMAGE_LISTS
from icmbench.config.problems import Problems
from icmbench.config.published import check_published
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
    problems.unknown_names("qualities", config["qualities"], "metric", METRICS)
    kind = "anchor (no codec entry; add one or drop the anchor)"
    problems.unknown_names("anchors", config["anchors"], kind, declared["codecs"])
    check_published(config["published"], problems)
    _check_ablation(config["ablation"], declared["codecs"], problems)
    for key in IMAGE_LISTS:
        names = [item["dataset"] for item in config[key]]
        problems.unknown_names(key, names, f"data set of {key}", declared["datasets"])
    if config["robustness"]["trials"]:
        name, kind = config["robustness"]["dataset"] or "", "data set of robustness"
        problems.unknown_names("robustness.dataset", [name], kind, declared["datasets"])
    names, kind = config["distribution"]["datasets"], "data set of distribution"
    problems.unknown_names("distribution.datasets", names, kind, declared["datasets"])
    if config["weights"]:
        expected = "the weight files of LPIPS, DISTS and FID"
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
