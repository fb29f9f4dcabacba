"""The configuration of a run: validated, completed with defaults, turned into objects."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from icmbench.codecs.diff_icmh import model as icmh
from icmbench.codecs.diff_icmh.codec import MAIN
from icmbench.codecs.diff_icmh.vocabulary import check_tags, model_vocabulary
from icmbench.codecs.mpd.model import (
    CARD,
    KINDS,
    NAME,
    PARTS,
    bundled,
    check_folder,
    guide_files,
    part_files,
)
from icmbench.codecs.registry import codec_class
from icmbench.config.checks import (
    PICTURES,
    check_file,
    check_folder_exists,
    check_names,
    drop_references,
    drop_unknown_images,
    shards_hint,
)
from icmbench.config.schema import Problems, complete_or_note, removed_entries
from icmbench.config.training import (
    check_labels_settings,
    check_pool,
    make_pool_source,
    scene_sources,
    trained_icmh,
    trained_parts,
    trained_tasks,
)
from icmbench.core.errors import ConfigError
from icmbench.datasets.base import Dataset
from icmbench.datasets.registry import make_dataset
from icmbench.evaluation.shard import Family, make_family
from icmbench.metrics import METRICS, available
from icmbench.tasks.base import Task
from icmbench.tasks.bundled import BUNDLED
from icmbench.tasks.bundled import FOLDER as TASK_FOLDER
from icmbench.tasks.bundled import PARTS as BUNDLED_TASKS
from icmbench.tasks.registry import make_task

# Options of tasks that name a file of weights.
WEIGHT_KEYS = ("checkpoint", "model")


@dataclass(frozen=True)
class Run:
    """A validated configuration and what it describes.

    Attributes:
        config: the configuration with every default filled in.
        datasets: data sets by name.
        families: codec entries by name.
        pool: what is trained on, by name; empty where nothing is.
        trained: what is trained in this run, by the keys of the section `training`.
        guides: the files of the encoder's side that this run makes, of `codecs.mpd.model.GUIDES`.
        icmh: what of diff-icmh is trained in this run, likewise.
        tasks: task models by name.
        task_parts: the bundled task models that this run goes on training, likewise.
        notices: sentences about entries that were left out or are not sensible.
        unavailable: reason by name of each codec entry and metric that cannot run here.
        sources: all sources of the training set, whether or not anything is trained on them.
    """

    config: Mapping[str, Any]
    datasets: Mapping[str, Dataset]
    families: Mapping[str, Family]
    pool: Mapping[str, Dataset]
    trained: tuple[str, ...]
    guides: tuple[str, ...]
    icmh: tuple[str, ...] = ()
    tasks: Mapping[str, Task] = field(default_factory=dict)
    task_parts: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    unavailable: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, Dataset] = field(default_factory=dict)


def make_run(config: Mapping[str, Any], schema: Path) -> Run:
    """Validate a configuration down to every codec string, data-set option, metric and file.

    Raises one error that lists every problem with its key path.
    """
    problems = Problems()
    filled = complete_or_note(config, schema, problems)
    removed = removed_entries(config)
    notices = [f"{s}.{n} is null: left out" for s, names in removed.items() for n in names]
    unavailable = _drop_unavailable(filled, removed, problems)
    notices += drop_references(filled, removed)
    # What stands in the configuration, right or wrong: a wrong entry is one problem, not several.
    declared = {s: _names(config.get(s)) | {*filled[s]} for s in ("datasets", "codecs", "tasks")}
    downloads, results = Path(filled["downloads"]), Path(filled["results"])
    datasets: dict[str, Dataset] = {}
    for name, entry in filled["datasets"].items():
        with problems.collect(f"datasets.{name}"):
            datasets[name] = make_dataset(name, entry, downloads, results)
    families = _families(filled, problems)
    check_names(problems, "metrics", filled["metrics"], "metric", METRICS)
    kind = "anchor (no codec entry; add one or drop the anchor)"
    check_names(problems, "anchors", filled["anchors"], kind, declared["codecs"])
    _check_ablation(filled, declared["codecs"], problems)
    for key in PICTURES:
        names = [item["dataset"] for item in filled[key]]
        check_names(problems, key, names, f"data set of {key}", declared["datasets"])
    if filled["robustness"]["trials"]:
        damaged = [filled["robustness"]["dataset"] or ""]
        kind = "data set of robustness"
        check_names(problems, "robustness.dataset", damaged, kind, declared["datasets"])
    if filled["weights"]:
        what = "the weight files of LPIPS and DISTS"
        check_folder_exists(problems, "weights", Path(filled["weights"]), what)
    for item in filled["task_pictures"]:
        kind = "task of task_pictures"
        check_names(problems, "task_pictures", [item["task"]], kind, declared["tasks"])
        entry = filled["tasks"].get(item["task"])
        if entry and item["dataset"] not in entry["datasets"]:
            problems.add(f"task_pictures: task {item['task']} is not on {item['dataset']!r}")
    tasks = _tasks(filled, datasets, declared["datasets"], problems)
    _check_variants(filled, families, problems)
    _check_tags(filled, families, problems)
    pool: Mapping[str, Dataset] = {}
    sources: dict[str, Dataset] = {}
    trained: tuple[str, ...] = ()
    guides, icmh_trained, task_trained = trained, trained, trained
    with problems.collect():
        pool, trained, guides, icmh_trained = _training(
            filled, datasets, families, sources, problems
        )
        task_trained = tuple(trained_tasks(filled["training"], task_parts(filled)))
    ids = {}
    for name, dataset in datasets.items():
        with problems.collect(f"datasets.{name}"):
            ids[name] = dataset.image_ids()
            notices += [f"datasets.{name}: {note}" for note in dataset.notes()]
    notices += drop_unknown_images(filled, ids) + shards_hint(filled, ids)
    problems.raise_all()
    return Run(
        filled,
        datasets,
        families,
        pool,
        trained,
        guides,
        icmh_trained,
        tasks,
        task_trained,
        tuple(notices),
        unavailable,
        sources,
    )


def _names(section: object) -> set[str]:
    """The names in a section as it stands in a configuration, which may be no mapping."""
    return {str(name) for name in section} if isinstance(section, Mapping) else set()


def announcements(run: Run) -> list[str]:
    """Sentences to print before anything runs: what is unavailable, left out or not sensible."""
    absent = [f"unavailable: {name}: {reason}" for name, reason in run.unavailable.items()]
    return [*absent, *run.notices]


def _families(config: Mapping[str, Any], problems: Problems) -> dict[str, Family]:
    """The codec entries of a run, by name."""
    families: dict[str, Family] = {}
    for name in config["codecs"]:
        with problems.collect(f"codecs.{name}"):
            # Which device there is, is found out in the jobs: the machine that plans may have none.
            families[name] = make_family(name, {**coding_settings(config, name), "device": "cpu"})
    return families


def _drop_unavailable(
    config: dict[str, Any], removed: dict[str, list[str]], problems: Problems
) -> dict[str, str]:
    """Take out codec entries that cannot run here -> reasons by name, of metrics, too.

    The entries join `removed`, so that what refers to them is left out, too. Metrics stay in the
    configuration: they have no column.
    """
    reasons: dict[str, str] = {}
    for name, entry in list(config["codecs"].items()):
        with problems.collect(f"codecs.{name}"):
            if reason := codec_class(entry.get("codec", name)).unavailable():
                reasons[name] = f"codec entry {name}: {reason}"
    for name in reasons:
        del config["codecs"][name]
        removed.setdefault("codecs", []).append(name)
    if reasons and not config["codecs"]:
        problems.add("codecs: none can run here: " + "; ".join(reasons.values()))
    _, absent = available(Path(config["weights"]) if config["weights"] else None)
    lacking = {name: absent[name] for name in config["metrics"] if name in absent}
    if lacking and len(lacking) == len(set(config["metrics"])):
        why = "; ".join(f"{name}: {reason}" for name, reason in lacking.items())
        problems.add(f"metrics: none can be computed here, add psnr_rgb for one: {why}")
    return {**reasons, **lacking}


def _check_ablation(config: Mapping[str, Any], codecs: Collection[str], problems: Problems) -> None:
    ablation = config["ablation"]
    if ablation["full"]:
        entries = [ablation["full"], *ablation["without"].values()]
        check_names(problems, "ablation", entries, "codec entry of ablation", codecs)
        if not (ablation["without"] and ablation["bpp"]):
            problems.add("ablation: without and bpp say what is compared, and at which rates")


def _tasks(
    config: Mapping[str, Any],
    datasets: Mapping[str, Dataset],
    declared: Collection[str],
    problems: Problems,
) -> dict[str, Task]:
    """The task models of a run, each checked against the data sets and files that it names."""
    tasks: dict[str, Task] = {}
    for name, entry in config["tasks"].items():
        where = f"tasks.{name}"
        check_names(problems, where, entry["datasets"], f"data set of task {name}", declared)
        for dataset in entry["datasets"]:
            if dataset in datasets and not datasets[dataset].annotated:
                problems.add(f"{where}: task {name}: data set {dataset!r} has no annotations")
        with problems.collect(where):
            tasks[name] = make_task(name, task_entry(config, name))
            _check_task_files(config, tasks[name], problems)
    return tasks


def _check_task_files(config: Mapping[str, Any], task: Task, problems: Problems) -> None:
    """Files that a task names by path must be there; those that this run makes or fetches not."""
    folder = Path(config["results"]) / "models" / TASK_FOLDER
    made = {folder / f"{part}.safetensors" for part in BUNDLED_TASKS.values()}
    made |= {Path(path) for path in task_downloads(config)}
    for path in task.files():
        if path not in made:
            given = config["tasks"][task.name].items()
            keys = [k for k, v in given if isinstance(v, str) and Path(v).expanduser() == path]
            where = ".".join(["tasks", task.name, *keys[:1]])
            check_file(problems, where, path, "the model's file: correct the path, or fetch it")


def task_parts(config: Mapping[str, Any]) -> list[str]:
    """The bundled task models that a run uses, sorted."""
    entries = config["tasks"].values()
    used = {e["type"] for e in entries if e["type"] in BUNDLED_TASKS and _own(e)}
    return sorted(BUNDLED_TASKS[kind] for kind in used)


def task_entry(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A task's entry as its jobs see it: all weights are local files.

    A bundled model is the file that this run makes of it, weights given by URL are those that the
    run fetches.
    """
    entry = dict(config["tasks"][name])
    if entry["type"] in BUNDLED_TASKS and _own(entry):
        file = f"{BUNDLED_TASKS[entry['type']]}.safetensors"
        entry["checkpoint"] = str(Path(config["results"]) / "models" / TASK_FOLDER / file)
    for key in WEIGHT_KEYS:
        if _is_url(entry.get(key)):
            entry[key] = str(_fetched(config, name, entry[key]))
    return entry


def task_downloads(config: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Files of weights that tasks give by URL -> the URL and the sha256 of the file."""
    found = {}
    for name, entry in config["tasks"].items():
        for key in WEIGHT_KEYS:
            if _is_url(url := entry.get(key)):
                found[str(_fetched(config, name, url))] = (url, entry["sha256"])
    return found


def _is_url(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _fetched(config: Mapping[str, Any], name: str, url: str) -> Path:
    """Where weights from a URL lie; ConfigError where no checksum says which file is meant."""
    digest = config["tasks"][name].get("sha256")
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise ConfigError(f"task {name}: {url} needs sha256, the digest of the file (64 digits)")
    return Path(config["downloads"]) / "weights" / digest[:16] / url.rpartition("/")[2]


def _own(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("checkpoint", BUNDLED) == BUNDLED)


def _check_variants(
    config: Mapping[str, Any], families: Mapping[str, Family], problems: Problems
) -> None:
    """A problem where a point names a variant that this run does not train."""
    if config["models"]:
        return
    used = {
        str(dict(point.encode).get("variant", MAIN))
        for f in families.values()
        for point in f.points
    }
    kind, known = "variant of training.variants", config["training"]["variants"]
    check_names(problems, "codecs", sorted(used - {MAIN}), kind, known)


def _check_tags(
    config: Mapping[str, Any], families: Mapping[str, Family], problems: Problems
) -> None:
    """A problem where a point names a tag that is not in its model's vocabulary.

    A model that this run trains keeps the bundled vocabulary; from scratch the training set decides
    it, which is not there yet. What a given folder lacks is a problem of its own.
    """
    if not config["models"] and config["training"]["start"] == "scratch":
        return
    home = models_folder(config) / icmh.NAME if config["models"] else icmh.bundled()
    for name, family in families.items():
        if family.codec != icmh.NAME:
            continue
        for text, variant in sorted({_tags_and_variant(point.encode) for point in family.points}):
            own = config["models"] and variant != MAIN
            folder = home / icmh.VARIANTS / variant if own else home
            if folder.is_dir():
                with problems.collect(f"codecs.{name}"):
                    check_tags(text, model_vocabulary(folder))


def _tags_and_variant(encode: Sequence[tuple[str, Any]]) -> tuple[str, str]:
    keys = dict(encode)
    return str(keys["tags"]), str(keys["variant"])


def model_name(config: Mapping[str, Any], name: str) -> str | None:
    """The model that a codec entry needs, None where it needs none."""
    return codec_class(config["codecs"][name].get("codec", name)).model_name


def models_folder(config: Mapping[str, Any]) -> Path:
    """The folder of all models: a given one as it is, or the one that this run fills."""
    return Path(config["models"] or f"{config['results']}/models")


def coding_settings(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What decides the streams and pictures of a codec entry: `make_family`'s settings."""
    keys = ("device", "threads", "limits")
    codec = codec_class(config["codecs"][name].get("codec", name))
    return {
        "entry": config["codecs"][name],
        **{key: config[key] for key in keys},
        # Only where it is used: another model must not code again what has none.
        "models": str(models_folder(config)) if codec.model_name else None,
    }


def given_files(folder: Path) -> list[Path]:
    """The files of a given model folder, sorted; none that is only being written."""
    if folder.name in (NAME, icmh.NAME):
        card = folder / CARD
        ours = folder.name == NAME
        files = part_files(folder) if ours else icmh.stream_files(folder) + icmh.word_files(folder)
        files += guide_files(folder) if ours else icmh.side_files(folder)
        for name in [] if ours else icmh.variant_names(folder):
            place = folder / icmh.VARIANTS / name
            files += [*icmh.stream_files(place), *icmh.side_files(place)]
        return sorted([*files, *([card] if card.is_file() else [])])
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")
    )


def used_guides(family: Family) -> list[str]:
    """The kinds of descriptors whose features an entry's points use, sorted."""
    keys = [dict(point.encode) for point in family.points]
    used = {str(k["guide"]) for k in keys if k.get("alpha") and k["palette"] == "image"}
    return sorted(used & set(KINDS))


def alpha_sweeps(families: Mapping[str, Family]) -> dict[str, dict[str, float]]:
    """By guide, the weight of every entry of a sweep: entries that differ in the weight alone.

    Each has one encoding. A sweep has at least three entries, one of them of weight 0, which
    belongs to every guide.
    """
    groups: dict[tuple[Any, ...], dict[str, dict[str, float]]] = {}
    for name, family in families.items():
        encodings = {tuple(sorted(point.encode)) for point in family.points}
        if family.codec == NAME and len(encodings) == 1:
            keys = dict(encodings.pop())
            alpha, guide = float(keys.pop("alpha")), str(keys.pop("guide"))
            rest = sorted((point.cut, point.decode) for point in family.points)
            group = groups.setdefault((tuple(sorted(keys.items())), tuple(rest)), {})
            group.setdefault(guide if alpha else "", {})[name] = alpha
    for group in groups.values():
        plain = group.pop("", {})
        found = {g: {**plain, **w} for g, w in group.items() if len(plain) == 1 and len(w) > 1}
        if found:
            return found
    return {}


def _training(
    config: Mapping[str, Any],
    datasets: Mapping[str, Dataset],
    families: Mapping[str, Family],
    pool: dict[str, Dataset],
    problems: Problems,
) -> tuple[dict[str, Dataset], tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Pool, trained parts and guides of MPD, trained parts of Diff-ICMH.

    The pool holds the sources that are made in any case: tasks are trained on scenes alone. `pool`
    is filled with all sources. The checks are made even where no codec needs a model.
    Independent ones add to `problems`; one that the others rest on raises.
    """
    training = config["training"]
    kinds = sorted({kind for family in families.values() for kind in used_guides(family)})
    downloads, results = Path(config["downloads"]), Path(config["results"])
    with problems.collect():
        check_labels_settings(training["pseudo_labels"])
    for name, entry in training["pool"].items():
        with problems.collect(f"training.pool.{name}"):
            pool[name] = make_pool_source(name, entry, downloads, results)
    with problems.collect():
        check_pool(pool, datasets, config["split"])
    names = {name: codec_class(family.codec).model_name for name, family in families.items()}
    needed = {model for model in names.values() if model}
    tasks_trained = trained_tasks(training, task_parts(config))
    scenes = {name: pool[name] for name in scene_sources(training) if name in pool}
    if config["models"]:
        for model in sorted(needed):
            _check_models(models_folder(config) / model, model, kinds)
        return scenes if tasks_trained else {}, (), (), ()
    for codec, name in names.items():
        if name not in (None, NAME, icmh.NAME):
            raise ConfigError(f"codec {codec} needs the model {name!r}, made elsewhere: set models")
    mpd_only = NAME in needed or icmh.NAME not in needed
    trained = trained_parts(training, kinds) if mpd_only else _image_part(training)
    diffused = trained_icmh(training) if icmh.NAME in needed else []
    if not needed:
        return scenes if tasks_trained else {}, (), (), ()
    guides = _guides(training, kinds, trained) if NAME in needed else []
    if training["start"] == "bundled":
        check_folder(bundled(), (*PARTS, *guides))
        if icmh.NAME in needed:
            icmh.check_folder(icmh.bundled(), (*icmh.PARTS, icmh.TAGGER))
    if not trained and not diffused:
        return scenes if tasks_trained else {}, (), tuple(guides), ()
    if network := training["pseudo_labels"]["network"]:
        where = "training.pseudo_labels.network"
        check_file(problems, where, Path(network), "torchvision's VGG-16 (.pth)")
    for name, source in pool.items():
        with problems.collect(f"training.pool.{name}"):
            source.image_ids()  # a folder that is not there is named now, not in a job
    return pool, tuple(trained), tuple(guides), tuple(diffused)


def _image_part(training: Mapping[str, Any]) -> list[str]:
    """Of MPD's parts the one that Diff-ICMH shares, where it is trained."""
    if training["autoencoder"]["steps"]:
        return ["autoencoder"]
    if training["start"] == "scratch":
        raise ConfigError(
            "training.start is scratch, but training.autoencoder.steps is 0: untrained"
        )
    return []


def _guides(training: Mapping[str, Any], kinds: list[str], trained: list[str]) -> list[str]:
    """The files of MPD's encoder side that a run makes."""
    guides = [f"features-{kind}" for kind in kinds or ["fft"]]
    guides = guides if kinds or "features" in trained else []
    own_taps = "features" in trained and not training["pseudo_labels"]["network"]
    return ["vgg", *guides] if "vgg" in trained or own_taps else guides


def _check_models(folder: Path, model: str, kinds: list[str]) -> None:
    if model == NAME:
        check_folder(folder, (*PARTS, *(f"features-{kind}" for kind in kinds)))
    elif model == icmh.NAME:
        icmh.check_folder(folder)
    elif not folder.is_dir():
        raise ConfigError(f"model folder {folder}: no such folder")
