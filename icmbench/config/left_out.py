"""Entries left out of a run, each with a notice: null, unavailable here, or of an absent image.

Notices are announced and stand in the report, and the run goes on; problems end it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.codecs.external.definitions import definition_of
from icmbench.codecs.registry import codec_of
from icmbench.config.problems import Problems
from icmbench.config.zoo import lacking_weights
from icmbench.core.versions import runs_jobs
from icmbench.evaluation.units import units
from icmbench.metrics import available
from icmbench.metrics.availability import distribution_lacks

IMAGE_LISTS = ("visual", "hierarchy", "diffusion", "task_pictures")  # sections of single images
IMAGES_PER_SHARD = 4  # fewer images in a shard than this: a job's start costs more than its work
_NAMED = 3


def drop_unavailable(
    config: dict[str, Any], removed: dict[str, list[str]], problems: Problems
) -> dict[str, str]:
    """Take out codec entries that cannot run here -> reasons by name, of metrics, too.

    The entries join `removed`, so that what refers to them is left out, too. Metrics stay in the
    configuration: they have no column. FID and KID are taken out as the section `distribution`.
    """
    reasons: dict[str, str] = {}
    for name in list(config["codecs"]):
        with problems.collect(f"codecs.{name}"):
            codec = codec_of(config["codecs"], name)
            reason = codec.unavailable() if runs_jobs() or not codec.packages else ""
            if reason := reason or lacking_weights(config, name):
                reasons[name] = f"codec entry {name}: {reason}"
    for name in reasons:
        del config["codecs"][name]
        removed.setdefault("codecs", []).append(name)
    if reasons and not config["codecs"]:
        problems.add("codecs: none can run here: " + "; ".join(reasons.values()))
    weights = Path(config["weights"]) if config["weights"] else None
    downloads = config["downloads"]
    if config["distribution"]["datasets"] and (reason := distribution_lacks(weights, downloads)):
        reasons["distribution"] = f"FID and KID: {reason}"
        config["distribution"] = {**config["distribution"], "datasets": []}
    _, absent = available(weights, downloads)
    lacking = {name: absent[name] for name in config["metrics"] if name in absent}
    if lacking and len(lacking) == len(set(config["metrics"])):
        why = "; ".join(f"{name}: {reason}" for name, reason in lacking.items())
        problems.add(f"metrics: none can be computed here, add psnr_rgb for one: {why}")
    return {**reasons, **lacking}


def drop_uncoded(config: dict[str, Any], removed: dict[str, list[str]]) -> list[str]:
    """Take out codec entries that no data set is coded by; a notice for each.

    They join `removed`, as those of `drop_unavailable`. An entry whose definition another one names
    stays.
    """
    if not config["datasets"]:
        return []  # a problem of its own
    coding = {name for _, name in units(config)}
    named = {str(entry.get("codec")) for entry in config["codecs"].values()}
    entries = config["codecs"]
    coding |= {name for name in named & {*entries} if definition_of(entries, name)}
    notices = []
    for name in [name for name in config["codecs"] if name not in coding]:
        del config["codecs"][name]
        removed.setdefault("codecs", []).append(name)
        notices.append(
            f"codecs.{name} is left out: no data set names it in its key codecs (`datasets`)"
        )
    return notices


def drop_references(config: dict[str, Any], absent: Mapping[str, Sequence[str]]) -> list[str]:
    """Take out what refers to data sets and codec entries that are not in this run.

    Args:
        config: the completed configuration; it is changed.
        absent: by section (`datasets`, `codecs`, `tasks`), the names taken out by null or
            unavailable.

    Returns a notice for everything that was taken out.
    """
    notices = []
    sets, codecs = set(absent.get("datasets", ())), set(absent.get("codecs", ()))
    tasks = set(absent.get("tasks", ()))
    for anchor in [name for name in config["anchors"] if name in codecs]:
        config["anchors"] = [name for name in config["anchors"] if name != anchor]
        notices.append(f"anchors: {anchor!r} is left out: the codec entry is not in this run")
    ablation = config["ablation"]
    without = ablation["without"]
    others = {what: name for what, name in without.items() if name not in codecs}
    if ablation["full"] in codecs or (without and not others):
        used = {ablation["full"], *without.values()} & codecs
        config["ablation"] = {"full": None, "without": {}, "bpp": []}
        notices.append(f"ablation is left out: {', '.join(sorted(used))} is not in this run")
    elif len(others) < len(without):
        config["ablation"] = {**ablation, "without": others}
        gone = ", ".join(sorted({*without.values()} & codecs))
        notices.append(f"ablation: {gone} is left out: it is not in this run")
    if config["robustness"]["trials"] and config["robustness"]["dataset"] in sets:
        notices.append(
            f"robustness is left out: data set {config['robustness']['dataset']!r} is not in this "
            "run; set robustness.dataset"
        )
        config["robustness"] = {**config["robustness"], "dataset": None, "trials": 0}
    if gone_sets := [name for name in config["distribution"]["datasets"] if name in sets]:
        notices.append(
            f"distribution: left out on {', '.join(gone_sets)}, which is not in this run"
        )
        left = [name for name in config["distribution"]["datasets"] if name not in sets]
        config["distribution"] = {**config["distribution"], "datasets": left}
    for name, entry in list(config["tasks"].items()):
        kept = [dataset for dataset in entry["datasets"] if dataset not in sets]
        if len(kept) < len(entry["datasets"]):
            gone = ", ".join(sorted(set(entry["datasets"]) & sets))
            notices.append(f"tasks.{name}: left out on {gone}, which is not in this run")
            config["tasks"] = {**config["tasks"], name: {**entry, "datasets": kept}}
        if not kept:
            del config["tasks"][name]
            tasks.add(name)
    for key in IMAGE_LISTS:
        gone_items = [
            item for item in config[key] if item["dataset"] in sets or item.get("task") in tasks
        ]
        for item in gone_items:
            notices.append(
                f"{key}: {item['image']} of {item['dataset']} is left out: its data set or task "
                "is not in this run"
            )
        config[key] = [item for item in config[key] if item not in gone_items]
    return notices


def drop_unknown_images(config: dict[str, Any], ids: Mapping[str, Sequence[str]]) -> list[str]:
    """Take out the entries of `IMAGE_LISTS` whose image the data set lacks; a notice for each.

    Args:
        config: the completed configuration; it is changed.
        ids: image ids by data set; entries of other data sets stay as they are.
    """
    notices = []
    for key in IMAGE_LISTS:
        kept = []
        for number, item in enumerate(config[key]):
            images = ids.get(item["dataset"])
            if images is None or item["image"] in set(images):
                kept.append(item)
                continue
            notices.append(
                f"{key}[{number}] is left out: data set {item['dataset']!r} has no image "
                f"{item['image']!r}; {_nearest(item['image'], images)}"
            )
        config[key] = kept
    return notices


def _nearest(word: str, images: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, images, n=_NAMED, cutoff=0.5)
    if near:
        return "nearest: " + ", ".join(near)
    shown = ", ".join(sorted(images)[:_NAMED])
    return f"it has {shown or 'no image'}{', ...' if len(images) > _NAMED else ''}"


def shards_hint(config: Mapping[str, Any], ids: Mapping[str, Sequence[str]]) -> list[str]:
    """A notice where there are more shards than are useful for the largest data set."""
    images = max((len(names) for names in ids.values()), default=0)
    useful = max(1, images // IMAGES_PER_SHARD)
    if config["shards"] <= useful:
        return []
    return [
        f"shards: {config['shards']} for at most {images} images per data set: most jobs would "
        f"start a process for fewer than {IMAGES_PER_SHARD} images; {useful} or fewer are enough"
    ]
