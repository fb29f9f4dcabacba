"""The configuration of a run: validated, completed with defaults, turned into objects."""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema

import icmbench
from icmbench.codecs.diff_icmh import MAIN
from icmbench.codecs.registry import codec_class
from icmbench.coding.shard import Family, make_family
from icmbench.datasets.base import Dataset
from icmbench.datasets.registry import make_dataset
from icmbench.diff_icmh import model as icmh
from icmbench.errors import ConfigError
from icmbench.files import sha256_bytes, sha256_file
from icmbench.metrics import METRICS
from icmbench.mpd.model import (
    CARD,
    KINDS,
    NAME,
    PARTS,
    bundled,
    check_folder,
    guide_files,
    part_files,
)
from icmbench.suggest import unknown
from icmbench.tasks.base import Task
from icmbench.tasks.bundled import BUNDLED
from icmbench.tasks.bundled import FOLDER as TASK_FOLDER
from icmbench.tasks.bundled import PARTS as BUNDLED_TASKS
from icmbench.tasks.registry import make_task
from icmbench.training.settings import (
    check_labels_settings,
    check_pool,
    make_pool_source,
    trained_icmh,
    trained_parts,
    trained_tasks,
)
from icmbench.versions import package_version

# The code that decides MPD's streams and pictures; `train_contexts` reads the tables, too.
CODER_SOURCES = ("bitstream/*.py", "codecs/mpd.py", "mpd/*.py")
NOT_CODER = tuple(
    f"mpd/{name}.py"
    for name in (
        "card",
        "descriptors",
        "inspect",
        "pseudo_labels",
        "representation",
        "train_autoencoder",
        "train_features",
        "train_reverse",
        "train_vgg",
        "vgg",
    )
)
# The code that decides the streams and pictures of diff-icmh, and what its training adds.
ICMH_SOURCES = (
    "bitstream/container.py",
    "codecs/diff_icmh.py",
    *(
        f"diff_icmh/{name}.py"
        for name in (
            "control", "diffusion", "entropy", "layers", "lfgcm", "model", "prior", "stream",
            "symbols", "system", "tables", "tagger", "tags", "text",
        )
    ),
    *(f"mpd/{name}.py" for name in ("autoencoder", "latent", "norms", "tensors", "upsample")),
)  # fmt: skip
ICMH_TRAINING = {
    "prior": ("control", "diffusion", "prior", "train_prior", "views"),
    "tagger": ("tagger", "train_prior", "views"),
    "codec": (
        "control", "diffusion", "entropy", "layers", "lfgcm", "prior", "rate_tables", "tables",
        "train_codec",
    ),
}  # fmt: skip
# The code that decides a part's numbers: the autoencoder's do not depend on the coder.
LOOP_SOURCES = ("training/loop.py", "training/losses.py", "training/pool.py")
AUTOENCODER_SOURCES = tuple(
    f"mpd/{name}.py" for name in ("autoencoder", "model", "norms", "tensors", "train_autoencoder")
)
VGG_SOURCES = tuple(f"mpd/{name}.py" for name in ("tensors", "train_vgg", "vgg"))
LABEL_SOURCES = (
    *(f"mpd/{n}.py" for n in ("descriptors", "pseudo_labels", "representation", "vgg")),
    "training/pool.py",
)
FEATURE_SOURCES = tuple(
    f"mpd/{name}.py"
    for name in ("autoencoder", "features", "latent", "model", "norms", "tensors", "train_features")
)


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
        guides: the files of the encoder's side that this run makes, of `icmbench.mpd.model.GUIDES`.
        icmh: what of diff-icmh is trained in this run, likewise.
        tasks: task models by name.
        task_parts: the bundled task models that this run goes on training, likewise.
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


def complete(config: Mapping[str, Any], schema: Path) -> dict[str, Any]:
    """The configuration with defaults, checked against the schema.

    Raises ConfigError that names the place, what is wrong and, for a mistyped key, the nearest
    right one.
    """
    rules = json.loads(schema.read_text(encoding="utf-8"))
    filled = copy.deepcopy(dict(config))
    _fill(filled, rules)
    checker = jsonschema.Draft202012Validator(rules)
    errors = sorted(checker.iter_errors(filled), key=lambda error: list(map(str, error.path)))
    if errors:
        raise ConfigError("configuration: " + "; ".join(_explain(error) for error in errors))
    return filled


def make_run(config: Mapping[str, Any], schema: Path) -> Run:
    """Validate a configuration down to every codec string, data-set option and metric."""
    filled = complete(config, schema)
    downloads = Path(filled["downloads"])
    datasets = {
        name: make_dataset(name, entry, downloads) for name, entry in filled["datasets"].items()
    }
    # Which device there is, is found out in the jobs: the machine that plans may have no GPU.
    families = {
        name: make_family(name, {**coding_settings(filled, name), "device": "cpu"})
        for name in filled["codecs"]
    }
    seen: dict[str, str] = {}
    for family in families.values():
        for point in family.points:
            if (other := seen.setdefault(point.string, family.name)) != family.name:
                raise ConfigError(f"{point.string} stands in both {other!r} and {family.name!r}")
    _check_names(filled["metrics"], "metric", METRICS)
    _check_names(filled["anchors"], "anchor (no codec entry; add one or drop the anchor)", families)
    ablation = filled["ablation"]
    if ablation["full"]:
        entries = [ablation["full"], *ablation["without"].values()]
        _check_names(entries, "codec entry of ablation", families)
        if not (ablation["without"] and ablation["bpp"]):
            raise ConfigError("ablation: without and bpp say what is compared, and at which rates")
    for key in ("visual", "hierarchy", "diffusion", "task_pictures"):
        _check_names([item["dataset"] for item in filled[key]], f"data set of {key}", datasets)
    if filled["robustness"]["trials"]:
        damaged = filled["robustness"]["dataset"]
        _check_names([damaged or ""], "data set of robustness", datasets)
    ids = {name: dataset.image_ids() for name, dataset in datasets.items()}
    for key in ("visual", "hierarchy", "diffusion", "task_pictures"):
        for item in filled[key]:
            kind = f"image of data set {item['dataset']!r} in {key}"
            if item["image"] not in ids[item["dataset"]]:
                raise ConfigError(unknown(kind, item["image"], ids[item["dataset"]]))
    for item in filled["task_pictures"]:
        _check_names([item["task"]], "task of task_pictures", filled["tasks"])
        if item["dataset"] not in filled["tasks"][item["task"]]["datasets"]:
            raise ConfigError(f"task_pictures: task {item['task']} is not on {item['dataset']!r}")
    _check_variants(filled, families)
    pool, trained, guides, icmh_trained = _training(filled, datasets, families, downloads)
    return Run(
        filled,
        datasets,
        families,
        pool,
        trained,
        guides,
        icmh_trained,
        _tasks(filled, datasets),
        tuple(trained_tasks(filled["training"], task_parts(filled))),
    )


def _tasks(config: Mapping[str, Any], datasets: Mapping[str, Dataset]) -> dict[str, Task]:
    """The task models of a run, each checked against the data sets that it names."""
    tasks = {}
    for name, entry in config["tasks"].items():
        _check_names(entry["datasets"], f"data set of task {name}", datasets)
        for dataset in entry["datasets"]:
            if not datasets[dataset].annotated:
                raise ConfigError(f"task {name}: data set {dataset!r} has no annotations")
        tasks[name] = make_task(name, task_entry(config, name))
    return tasks


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


def _check_variants(config: Mapping[str, Any], families: Mapping[str, Family]) -> None:
    """ConfigError where a point names a variant that this run does not train."""
    if config["models"]:
        return
    used = {
        str(dict(point.encode).get("variant", MAIN))
        for f in families.values()
        for point in f.points
    }
    _check_names(
        sorted(used - {MAIN}), "variant of training.variants", config["training"]["variants"]
    )


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
        # Not used by the job: a new version of the codec must not go by its old streams.
        "settings": codec.settings,
        "versions": {package: package_version(package) for package in codec.packages},
        "sources": _coder_sources(codec.model_name),
    }


def _coder_sources(model: str | None) -> str | None:
    """Digest of the code that codes by a model of ours."""
    if model == NAME:
        return source_digest(CODER_SOURCES, NOT_CODER)
    return source_digest(ICMH_SOURCES) if model == icmh.NAME else None


def training_sources(part: str) -> str:
    """Digest of the code that decides the numbers of a trained part of the model."""
    own = {"autoencoder": AUTOENCODER_SOURCES, "vgg": VGG_SOURCES, "features": FEATURE_SOURCES}
    if part in own:
        return source_digest((*own[part], *LOOP_SOURCES))
    if part in ICMH_TRAINING:
        names = [f"diff_icmh/{name}.py" for name in ICMH_TRAINING[part]]
        return source_digest((*names, *AUTOENCODER_SOURCES, *LOOP_SOURCES, "training/tags.py"))
    if part == "pseudo_labels":
        return source_digest(LABEL_SOURCES)
    loop = LOOP_SOURCES if part == "reverse" else ("training/pool.py",)
    without = tuple(name for name in NOT_CODER if name != f"mpd/train_{part}.py")
    return source_digest((*CODER_SOURCES, *loop), without)


@functools.cache
def source_digest(patterns: tuple[str, ...], without: tuple[str, ...] = ()) -> str:
    """sha256 of source files' names and contents.

    Args:
        patterns: below the package, each of at least one file; ConfigError names one that is of
            none.
        without: files that are left out.
    """
    package = Path(icmbench.__file__).parent
    files: set[Path] = set()
    for pattern in patterns:
        if not (found := set(package.glob(pattern))):
            raise ConfigError(f"{package}: no source file {pattern}")
        files |= found
    files -= {package / name for name in without}
    lines = [f"{path.relative_to(package)} {sha256_file(path)}\n" for path in sorted(files)]
    return sha256_bytes("".join(lines).encode())


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
    downloads: Path,
) -> tuple[dict[str, Dataset], tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Pool, trained parts and guides of MPD, trained parts of Diff-ICMH.

    The checks are made even where no codec needs a model.
    """
    training = config["training"]
    kinds = sorted({kind for family in families.values() for kind in used_guides(family)})
    check_labels_settings(training["pseudo_labels"])
    pool = {n: make_pool_source(n, entry, downloads) for n, entry in training["pool"].items()}
    check_pool(pool, datasets, config["split"])
    names = {name: model_name(config, name) for name in config["codecs"]}
    needed = {model for model in names.values() if model}
    if config["models"]:
        for model in sorted(needed):
            _check_models(models_folder(config) / model, model, kinds)
        return {}, (), (), ()
    for codec, name in names.items():
        if name not in (None, NAME, icmh.NAME):
            raise ConfigError(f"codec {codec} needs the model {name!r}, made elsewhere: set models")
    mpd_only = NAME in needed or icmh.NAME not in needed
    trained = trained_parts(training, kinds) if mpd_only else _image_part(training)
    diffused = trained_icmh(training) if icmh.NAME in needed else []
    tasks_trained = trained_tasks(training, task_parts(config))
    if not needed and not tasks_trained:
        return {}, (), (), ()
    if not needed:
        return pool, (), (), ()
    guides = _guides(training, kinds, trained) if NAME in needed else []
    if training["start"] == "bundled":
        check_folder(bundled(), (*PARTS, *guides))
        if icmh.NAME in needed:
            icmh.check_folder(icmh.bundled(), (*icmh.PARTS, icmh.TAGGER))
    if not trained and not diffused and not tasks_trained:
        return {}, (), tuple(guides), ()
    for source in pool.values():
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


def _fill(value: dict[str, Any], rules: Mapping[str, Any]) -> None:
    for key, rule in rules.get("properties", {}).items():
        if "default" in rule:
            value.setdefault(key, copy.deepcopy(rule["default"]))
        if isinstance(value.get(key), dict):
            _fill(value[key], rule)


def _explain(error: jsonschema.ValidationError) -> str:
    where = ".".join(map(str, error.absolute_path)) or "top level"
    if error.validator == "additionalProperties" and isinstance(error.schema, Mapping):
        known = error.schema.get("properties", {})
        wrong = [key for key in error.instance if key not in known]
        return "; ".join(f"{where}: {unknown('key', key, known)}" for key in wrong)
    return f"{where}: {error.message}"


def _check_names(names: list[str], kind: str, known: Mapping[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(unknown(kind, name, known))
