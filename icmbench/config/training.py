"""The training section of a configuration: what is trained, and on which images it may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from icmbench.codecs.diff_icmh import model as icmh
from icmbench.codecs.mpd.model import NAME, PARTS, bundled, check_folder
from icmbench.codecs.registry import codec_class
from icmbench.config.models import models_folder, used_features
from icmbench.config.problems import Problems
from icmbench.config.sources import make_pool_source
from icmbench.config.tasks import task_parts
from icmbench.core.errors import ConfigError
from icmbench.datasets.base import Dataset
from icmbench.evaluation.shard import CodecEntry

# What is trained and how its amount is called, in the order of training: each uses those before.
AMOUNTS = {"autoencoder": "steps", "contexts": "images", "reverse": "steps"}
GUIDE_AMOUNTS = {"vgg": "steps", "features": "steps"}  # of the encoder's side
ICMH_AMOUNTS = {"prior": "steps", "tagger": "steps", "stage_1": "steps", "stage_2": "steps"}
TASK_AMOUNTS = {"detector": "steps", "segmenter": "steps", "landmarks": "steps"}


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


def check_pool(pool: Mapping[str, Dataset], coded: Mapping[str, Dataset], split: str) -> None:
    """ConfigError where an image that is coded in this run (`coded`, its `split`) is trained on.

    The same scenes or split of a data set, or a folder that is, holds or lies in that of a coded
    one. Copies of images are left to `read_training_data`, which sees pixels.
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


@dataclass(frozen=True)
class Training:
    """Training data and trained parts of a run.

    Attributes:
        sources: all training sets by name, whether or not anything is trained on them.
        data: those whose images the run makes; empty where nothing is trained.
        trained: the parts that are trained, by section: `mpd`, `diff_icmh`, `tasks`.
        encoder_parts: the encoder-side files of MPD's model that the run makes.
    """

    sources: Mapping[str, Dataset] = field(default_factory=dict)
    data: Mapping[str, Dataset] = field(default_factory=dict)
    trained: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    encoder_parts: tuple[str, ...] = ()


def plan_training(
    config: Mapping[str, Any],
    datasets: Mapping[str, Dataset],
    entries: Mapping[str, CodecEntry],
    problems: Problems,
) -> Training:
    """The training data, and the parts of MPD, Diff-ICMH and the task models that are trained.

    The checks are made even where no codec needs a model. Where only task models are trained, the
    data are the scenes.
    """
    training = config["training"]
    sources = _sources(config, datasets, problems)
    trained: dict[str, tuple[str, ...]] = {"mpd": (), "diff_icmh": (), "tasks": ()}
    encoder_parts: tuple[str, ...] = ()
    with problems.collect():
        trained["mpd"], trained["diff_icmh"], encoder_parts = _codec_parts(config, entries)
    with problems.collect():
        trained["tasks"] = tuple(trained_tasks(training, task_parts(config)))
    if not (trained["mpd"] or trained["diff_icmh"]):
        scenes = {name: sources[name] for name in scene_sources(training) if name in sources}
        data = scenes if trained["tasks"] else {}
        return Training(sources, data, trained, encoder_parts)
    if network := training["pseudo_labels"]["network"]:
        where = "training.pseudo_labels.network"
        problems.missing_file(where, Path(network), "torchvision's VGG-16 (.pth)")
    for name, source in sources.items():
        with problems.collect(f"training.pool.{name}"):
            source.image_ids()  # a folder that does not exist is named now, not in a job
    return Training(sources, sources, trained, encoder_parts)


def _sources(
    config: Mapping[str, Any], datasets: Mapping[str, Dataset], problems: Problems
) -> dict[str, Dataset]:
    """The training sets by name."""
    downloads, results = Path(config["downloads"]), Path(config["results"])
    sources: dict[str, Dataset] = {}
    with problems.collect():
        check_labels_settings(config["training"]["pseudo_labels"])
    for name, entry in config["training"]["pool"].items():
        with problems.collect(f"training.pool.{name}"):
            sources[name] = make_pool_source(name, entry, downloads, results)
    with problems.collect():
        check_pool(sources, datasets, config["split"])
    return sources


def _codec_parts(
    config: Mapping[str, Any], entries: Mapping[str, CodecEntry]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Trained parts of MPD and of Diff-ICMH, and the encoder-side files of MPD that are made."""
    training = config["training"]
    kinds = sorted({kind for entry in entries.values() for kind in used_features(entry)})
    names = {name: codec_class(entry.codec).model_name for name, entry in entries.items()}
    needed = {model for model in names.values() if model}
    if config["models"]:
        for model in sorted(needed):
            _check_models(models_folder(config) / model, model, kinds)
        return (), (), ()
    for codec, name in names.items():
        if name not in (None, NAME, icmh.NAME):
            raise ConfigError(f"codec {codec} needs the model {name!r}, made elsewhere: set models")
    whole = NAME in needed or icmh.NAME not in needed
    trained = trained_parts(training, kinds) if whole else _image_part(training)
    diffusion = trained_icmh(training) if icmh.NAME in needed else []
    if not needed:
        return (), (), ()
    encoder_parts = _encoder_parts(training, kinds, trained) if NAME in needed else []
    if training["start"] == "bundled":
        check_folder(bundled(), (*PARTS, *encoder_parts))
        if icmh.NAME in needed:
            icmh.check_folder(icmh.bundled(), (*icmh.PARTS, icmh.TAGGER))
    return tuple(trained), tuple(diffusion), tuple(encoder_parts)


def _image_part(training: Mapping[str, Any]) -> list[str]:
    """Of MPD's parts the one that Diff-ICMH shares, where it is trained."""
    if training["autoencoder"]["steps"]:
        return ["autoencoder"]
    if training["start"] == "scratch":
        raise ConfigError(
            "training.start is scratch, but training.autoencoder.steps is 0: untrained"
        )
    return []


def _encoder_parts(training: Mapping[str, Any], kinds: list[str], trained: list[str]) -> list[str]:
    """The files of MPD's encoder side that a run makes."""
    encoder_parts = [f"features-{kind}" for kind in kinds or ["fft"]]
    encoder_parts = encoder_parts if kinds or "features" in trained else []
    own_taps = "features" in trained and not training["pseudo_labels"]["network"]
    return ["vgg", *encoder_parts] if "vgg" in trained or own_taps else encoder_parts


def _check_models(folder: Path, model: str, kinds: list[str]) -> None:
    if model == NAME:
        check_folder(folder, (*PARTS, *(f"features-{kind}" for kind in kinds)))
    elif model == icmh.NAME:
        icmh.check_folder(folder)
    elif not folder.is_dir():
        raise ConfigError(f"model folder {folder}: no such folder")
