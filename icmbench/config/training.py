"""The training section of a configuration: what is trained, and on which images it may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.core.errors import ConfigError
from icmbench.datasets.base import Dataset, Record
from icmbench.datasets.registry import make_dataset

# What is trained and how its amount is called, in the order of training: each uses those before.
AMOUNTS = {"autoencoder": "steps", "contexts": "images", "reverse": "steps"}
GUIDE_AMOUNTS = {"vgg": "steps", "features": "steps"}  # of the encoder's side
ICMH_AMOUNTS = {"prior": "steps", "tagger": "steps", "stage_1": "steps", "stage_2": "steps"}
TASK_AMOUNTS = {"detector": "steps", "segmenter": "steps", "landmarks": "steps"}
TEST_ONLY = ("kodak", "photos")


def trained_parts(training: Mapping[str, Any], guides: Sequence[str]) -> list[str]:
    """What is trained here, by the keys of `AMOUNTS` and `GUIDE_AMOUNTS`; the rest is bundled.

    Args:
        guides: kinds of descriptors whose features the codecs of the run use.

    Raises ConfigError where training from scratch leaves out what is used, or where the
    autoencoder is trained and what was made for the latent of the bundled one is not.
    """
    keys = {**AMOUNTS, **GUIDE_AMOUNTS}
    trained = [part for part, key in keys.items() if training[part][key]]
    used = [*AMOUNTS, *(GUIDE_AMOUNTS if guides or "features" in trained else ())]
    if training["pseudo_labels"]["network"]:  # its taps take the place of the narrow VGG's
        used = [part for part in used if part != "vgg"]
    untrained = [part for part in used if part not in trained]
    if untrained and training["start"] == "scratch":
        names = ", ".join(f"{part}.{keys[part]}" for part in untrained)
        raise ConfigError(f"training.start is scratch, but training.{names} is 0: untrained")
    stale = [part for part in untrained if part != "vgg"]  # it looks at pixels, not at the latent
    if stale and "autoencoder" in trained:
        names = ", ".join(f"{part}.{keys[part]}" for part in stale)
        raise ConfigError(
            f"training.autoencoder.steps makes another latent, but training.{names} is 0: the "
            "bundled part is of the bundled latent"
        )
    return trained


def trained_icmh(training: Mapping[str, Any]) -> list[str]:
    """What of diff-icmh is trained here, by the keys of `ICMH_AMOUNTS`; the rest is bundled.

    Raises ConfigError where training from scratch leaves out what is used, where something is
    trained and what was made for the bundled one is not, and where a variant is not trained.
    """
    trained = [part for part, key in ICMH_AMOUNTS.items() if training[part][key]]
    codec = "stage_1" in trained or "stage_2" in trained
    missing = [part for part in ("prior", "tagger", "stage_1") if part not in trained]
    if missing and training["start"] == "scratch":
        names = ", ".join(f"{part}.steps" for part in missing)
        raise ConfigError(f"training.start is scratch, but training.{names} is 0: untrained")
    autoencoder = bool(training["autoencoder"]["steps"])
    stale = [part for part in ("prior", "tagger") if autoencoder and part not in trained]
    stale += [] if codec or not (autoencoder or "prior" in trained) else ["stage_2"]
    if stale:
        names = ", ".join(f"{part}.steps" for part in stale)
        what = "autoencoder" if autoencoder else "prior"
        raise ConfigError(
            f"training.{what}.steps makes another one, but training.{names} is 0: the bundled part "
            f"of diff-icmh is of the bundled {what}"
        )
    if training["variants"] and not codec:
        raise ConfigError("training.variants: stage_1.steps and stage_2.steps are 0: untrained")
    return trained


def trained_tasks(training: Mapping[str, Any], used: Sequence[str]) -> list[str]:
    """Which of the bundled task models in use are trained on here, by the keys of `TASK_AMOUNTS`.

    Raises ConfigError where no source of the pool is of scenes: only they have all annotations.
    """
    trained = [part for part in TASK_AMOUNTS if part in used and training[part]["steps"]]
    if trained and not scene_sources(training):
        raise ConfigError(f"training.{trained[0]}: no source of training.pool is of scenes")
    return trained


def scene_sources(training: Mapping[str, Any]) -> list[str]:
    """The sources of the pool that are scenes, sorted."""
    pool = training["pool"]
    return sorted(name for name, entry in pool.items() if entry.get("type", name) == "scenes")


def source_tags(training: Mapping[str, Any]) -> dict[str, list[str]]:
    """Tags that hold for all images of a source of the pool."""
    return {name: list(entry.get("tags", [])) for name, entry in training["pool"].items()}


def check_labels_settings(settings: Mapping[str, Any]) -> None:
    """ConfigError where the section `pseudo_labels` cannot be carried out, whatever the pool."""
    counts, where = settings["counts"], "training.pseudo_labels"
    if counts != sorted(counts):
        raise ConfigError(f"{where}.counts: {counts} are not ascending")
    if missing := sorted(set(settings["clusters"]) - set(counts)):
        raise ConfigError(f"{where}.clusters: {missing[0]} is not one of counts")
    if settings["patches"] < counts[-1]:
        raise ConfigError(f"{where}.patches: {settings['patches']} for {counts[-1]} clusters")


def make_pool_source(
    name: str, entry: Mapping[str, Any], downloads: Path, results: Path | None = None
) -> Dataset:
    """One source of the training pool: a data-set entry; scenes have no test split here.

    Raises ConfigError for data sets that are for testing only, and for scenes of another split.
    """
    where, kind = f"training.pool.{name}", entry.get("type", name)
    entry = {key: value for key, value in entry.items() if key != "tags"}
    if kind in TEST_ONLY:
        raise ConfigError(f"{where}: {kind} is for testing only, nothing is trained on it")
    if kind != "scenes":
        return make_dataset(name, entry, downloads, results)
    source = make_dataset(name, {"test": 0, **entry}, downloads, results)
    for split in ("test", "val"):
        if source.values[split]:
            raise ConfigError(f"{where}: {split}={source.values[split]}: train is for training")
    if not source.values["train"]:
        raise ConfigError(f"{where}: train is 0: no scene to train on")
    return source


def check_pool(pool: Mapping[str, Dataset], coded: Mapping[str, Dataset], split: str) -> None:
    """ConfigError where an image that is coded in this run (`coded`, its `split`) is trained on.

    The same scenes or split of a data set, or a folder that is, holds or lies in that of a coded
    one. Copies of images are left to `read_pool`, which sees pixels.
    """
    for name, source in pool.items():
        for other, dataset in coded.items():
            text = f"training.pool.{name} and the data set {other!r} that is coded are the same"
            if source.values.get("path") or dataset.values.get("path"):
                ours, theirs = _folder(source), _folder(dataset)
                if ours and theirs and _overlap(ours, theirs):
                    raise ConfigError(f"{text} images: {ours}, {theirs}")
            same = source.kind == dataset.kind != "folder"
            same = same and source.values.get("seed") == dataset.values.get("seed")
            if same and split == "train":
                raise ConfigError(f"{text}: both are the split train")


def _folder(dataset: Dataset) -> Path | None:
    """Where the images of a data set lie before any run: given, or downloaded; None: nowhere."""
    if "path" not in dataset.values:
        return None
    given = dataset.values["path"]
    return (Path(given).expanduser() if given else dataset.downloads).resolve()


def _overlap(one: Path, other: Path) -> bool:
    return one == other or one in other.parents or other in one.parents


def training_records(source: Dataset, records: list[Record]) -> list[Record]:
    """The records of a source that may be trained on: a folder's all, else the split train."""
    if source.kind == "folder":
        return records
    return [record for record in records if record.split == "train"]
