"""Checks of a completed configuration: references between sections, single images, files, shards.

Problems end the start of a run; notices are announced and stand in the report, and the run goes on.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.config.schema import Problems
from icmbench.core.suggest import unknown

# Sections that list single images to draw.
PICTURES = ("visual", "hierarchy", "diffusion", "task_pictures")
IMAGES_PER_SHARD = 4  # fewer images in a shard than this: a job's start costs more than its work
_NAMED = 3


def check_names(
    problems: Problems, where: str, names: Iterable[str], kind: str, known: Iterable[str]
) -> None:
    """Add a problem for every name that is not known, with the nearest known one."""
    found = set(known)
    for name in names:
        if name not in found:
            problems.add(f"{where}: {unknown(kind, name, found)}")


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
    used = {ablation["full"], *ablation["without"].values()} & codecs
    if used:
        config["ablation"] = {"full": None, "without": {}, "bpp": []}
        notices.append(f"ablation is left out: {', '.join(sorted(used))} is not in this run")
    if config["robustness"]["trials"] and config["robustness"]["dataset"] in sets:
        notices.append(
            f"robustness is left out: data set {config['robustness']['dataset']!r} is not in this "
            "run; set robustness.dataset"
        )
        config["robustness"] = {**config["robustness"], "dataset": None, "trials": 0}
    for name, entry in list(config["tasks"].items()):
        kept = [dataset for dataset in entry["datasets"] if dataset not in sets]
        if len(kept) < len(entry["datasets"]):
            gone = ", ".join(sorted(set(entry["datasets"]) & sets))
            notices.append(f"tasks.{name}: left out on {gone}, which is not in this run")
            config["tasks"] = {**config["tasks"], name: {**entry, "datasets": kept}}
        if not kept:
            del config["tasks"][name]
            tasks.add(name)
    for key in PICTURES:
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
    """Take out the entries of `PICTURES` whose image the data set lacks; a notice for each.

    Args:
        config: the completed configuration; it is changed.
        ids: image ids by data set; entries of other data sets stay as they are.
    """
    notices = []
    for key in PICTURES:
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


def check_file(problems: Problems, where: str, path: Path, what: str) -> None:
    """Add a problem where a file that the configuration names is not there."""
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "no such file"
        problems.add(f"{where}: {path}: {kind}; expected {what}")


def check_folder_exists(problems: Problems, where: str, path: Path, what: str) -> None:
    """Add a problem where a folder that the configuration names is not there."""
    if not path.is_dir():
        kind = "is no folder" if path.exists() else "no such folder"
        problems.add(f"{where}: {path}: {kind}; expected {what}")
