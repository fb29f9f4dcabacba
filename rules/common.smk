# What all rule files use - the validated run, and which files belong to which data set.

import atexit
import functools
import os
import sys
from pathlib import Path

from icmbench.config.models import (
    alpha_sweeps,
    coding_settings,
    given_files,
    model_name,
    models_folder,
    used_features,
)
from icmbench.config.run import announcements, make_run
from icmbench.evaluation.sharing import shared_strings
from icmbench.datasets.base import shard_of
from icmbench.codecs.diff_icmh import model as icmh
from icmbench.core.errors import IcmbenchError
from icmbench.core.follow_logs import follow
from icmbench.codecs.mpd.model import NAME, PARTS, TAPS, bundled, part_file
from icmbench.models.layout import CARD
from icmbench.config.targets import absent_targets
from icmbench.tasks.base import INSTANCES
from icmbench.config.training import source_tags
from icmbench.core.versions import package_version
from icmbench.config.weights_names import curve_names, weights_names

# One thread per job: jobs run in parallel, and sums come out in the same order every time.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# glibc: keep freed memory. Metrics allocate large arrays all the time, and handing each back to
# the kernel costs up to a third of a measuring job.
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(1 << 30))
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(1 << 32))

try:
    run = make_run(config, Path(workflow.basedir) / "schemas" / "config.schema.json")
except IcmbenchError as error:
    raise WorkflowError(str(error)) from None

config.update(run.config)  # scripts see the defaults, too
ABSENT = absent_targets(run)

if workflow.is_main_process:  # once, not in the start of every job
    for line in announcements(run):
        print(f"icmbench: {line}", file=sys.stderr)
    follow(Path(run.config["results"]).absolute() / "logs")


include: "gpu_common.smk"
include: "fingerprints.smk"


VERDICT_LINE = Path(run.config["results"]) / "logs" / "verdict.txt"


def close_with_verdict():
    """Print the verdict as the last line of the terminal, where there is something to state."""
    if VERDICT_LINE.is_file() and (line := VERDICT_LINE.read_text(encoding="utf-8")):
        atexit.register(print, f"icmbench: {line}", file=sys.stderr)


SHARDS = list(range(run.config["shards"]))
CURVE_NAMES = curve_names(run)  # legend texts: which weights are behind a curve
WEIGHTS_NAMES = weights_names(run)
ANNOTATED = [name for name, dataset in run.datasets.items() if dataset.annotated]
FORMATS = ["png", "svg", "pdf"]
VISUALS = list(range(len(run.config["visual"])))
MODELS = [name for name in run.codecs if model_name(run.config, name)]
USES_MPD = any(model_name(run.config, name) == NAME for name in MODELS)
OWN_MODEL = bool(MODELS) and not run.config["models"]
DIFFUSION = [name for name, family in run.codecs.items() if family.codec == icmh.NAME]
OWN_DIFFUSION = bool(DIFFUSION) and OWN_MODEL
TRAINING = run.config["training"]
TRAINED = run.training.trained
NETWORKS = ("autoencoder", "reverse", "vgg")  # with a history of losses, as have the features
FEATURES = [part for part in run.training.encoder_parts if part.startswith("features-")]
# The kinds of descriptors that this run makes pseudo-labels of.
LABELLED = [part.removeprefix("features-") for part in FEATURES if "features" in TRAINED["mpd"]]
LOSSES = [network for network in NETWORKS if network in TRAINED["mpd"]]
LOSSES += FEATURES if LABELLED else []
LOSSES += [part for part in ("prior", "tagger") if part in TRAINED["diff_icmh"]]
LOSSES += [
    f"{stage}-{variant}"
    for stage in ("stage_1", "stage_2")
    for variant in ("main", *TRAINING["variants"])
    if stage in TRAINED["diff_icmh"]
]
LOSSES += list(TRAINED["tasks"])
ROBUSTNESS = run.config["robustness"]["trials"] > 0
MPD = [name for name, family in run.codecs.items() if family.codec == "mpd"]
HIERARCHIES = [
    f"palette_{item['dataset']}_{n}" for n, item in enumerate(run.config["hierarchy"]) if MPD
]
DRAWN = run.config["hierarchy"] if LABELLED else []
CLUSTER_FIGURES = ["clusters", *(f"clusters_{name}" for name in run.datasets)]
CLUSTER_FIGURES += [f"labels_{item['dataset']}_{n}" for n, item in enumerate(DRAWN)]
DIFFUSION_FIGURES = [
    f"{kind}_{item['dataset']}_{n}"
    for n, item in enumerate(run.config["diffusion"])
    for kind in ("diffusion_rates", "prior_alone")
    if DIFFUSION
]
OPTIONAL_TABLES = ["robustness"] * ROBUSTNESS + ["mpd_states"] * bool(MPD)
ABLATION = run.config["ablation"] if run.config["ablation"]["full"] else {}
ABLATION_FIGURES = [
    f"ablation_{name}_{n}" for name in run.datasets for n in range(len(ABLATION.get("bpp", [])))
]
OPTIONAL_TABLES += ["ablation"] if ABLATION else []
PAIRED = bool(run.config["anchors"] and run.config["rates"])
OPTIONAL_TABLES += ["paired"] if PAIRED else []
# Sweeps of a guide's weight, against the entry of weight 0.
SWEEPS = alpha_sweeps(run.codecs)
SWEEP_ANCHOR = next(
    (name for entries in SWEEPS.values() for name, alpha in entries.items() if alpha == 0), None
)
SWEEPS = SWEEPS if SWEEP_ANCHOR in run.config["anchors"] else {}
OPTIONAL_TABLES += [f"alpha_sweep_{guide}" for guide in SWEEPS]
OPTIONAL_TABLES += ["tasks", "tasks_bd_rate", "task_failures"] if run.tasks else []
# Figure -> its kind, data set and task.
TASK_FIGURES = {
    f"{kind}_{dataset}.{name}": (kind, dataset, name)
    for name, task in run.tasks.items()
    for dataset in run.config["tasks"][name]["datasets"]
    for kind in ("task_curves", "task_objects")
    if kind == "task_curves" or task.produces == INSTANCES
}
OPTIONAL_TABLES += ["pseudo_labels", "retrieval"] if LABELLED else []


@functools.cache
def shard_images(dataset):
    """Ids of a data set's images, shard by shard."""
    parts = [[] for _ in SHARDS]
    for image in run.datasets[dataset].image_ids():
        parts[shard_of(image, len(SHARDS))].append(image)
    return parts


@functools.cache
def pictures_mb(dataset, codec, shard):
    """What the decoded pictures of a shard take, estimated: megabytes on the disk."""
    data, points = run.datasets[dataset], run.codecs[codec].points
    images = len(shard_images(dataset)[int(shard)])
    # PNG of a photograph: 1.6 bytes per pixel (`identity`); lossy pictures take less.
    return max(10, round(1.8 * data.megapixels.mean * images * len(points)))


@functools.cache
def fingerprint(dataset, shard):
    """Changes when the images of one shard do: a new image reruns its shard and no other."""
    ids = shard_images(dataset)[shard]
    return [len(ids), run.datasets[dataset].fingerprint(ids)]


# Points that an earlier entry has, too: entry -> earlier entry -> codec strings.
SHARED_POINTS = shared_strings(run.codecs)


def shared_encodings(codec):
    """The encodings of an entry that earlier entries have: earlier entry -> encodings."""
    encoding = {point.string: point.encoding for point in run.codecs[codec].points}
    taken, found = set(), {}
    for owner, strings in SHARED_POINTS.get(codec, {}).items():
        # An embedded encoding may be shared with several: the first one has it.
        found[owner] = [e for e in dict.fromkeys(map(encoding.get, strings)) if e not in taken]
        taken |= set(found[owner])
    return found


def shared_coding(wildcards, kind, stage):
    """Archive, status and timing of every entry that a coding job copies from."""
    home = f"{wildcards.dataset}/{{owner}}/{wildcards.shard}"
    folder = "streams" if kind == "streams" else "reconstructions"
    patterns = [
        f"<results>/{folder}/{home}.zip",
        f"<results>/{kind}/{home}.csv",
        f"<results>/timing/{home}.{stage}.csv",
    ]
    owners = SHARED_POINTS.get(wildcards.codec, {})
    return [pattern.format(owner=owner) for owner in owners for pattern in patterns]


def shared_measurements(wildcards):
    """The measurements of the entries that an entry shares points with."""
    return [
        f"<results>/measurements/{wildcards.dataset}/{owner}/{wildcards.shard}.parquet"
        for owner in SHARED_POINTS.get(wildcards.codec, {})
    ]


def measurements(datasets=None, codecs=None):
    """Measurement files of all (or the given) data sets and codecs."""
    return expand(
        "<results>/measurements/{dataset}/{codec}/{shard}.parquet",
        dataset=datasets or run.datasets,
        codec=codecs or run.codecs,
        shard=SHARDS,
    )


def shard_files(pattern, **wildcards):
    """The files of a pattern, one per combination of the wildcards and shards."""
    return expand(pattern, shard=SHARDS, **wildcards)


def figure_files(name):
    """A figure in all its formats."""
    return expand("<results>/figures/{name}.{format}", name=name, format=FORMATS)


@functools.cache
def metrics_available():
    """The configured metrics that can be computed here (LPIPS and DISTS need weight files)."""
    from icmbench.metrics import available

    names, _ = available(run.config["weights"] and Path(run.config["weights"]))
    return [name for name in run.config["metrics"] if name in names]


@functools.cache
def learned_metrics():
    """The configured metrics that run networks, of those that can be computed here."""
    from icmbench.metrics import METRICS

    return [name for name in metrics_available() if METRICS[name].needs_weights]


def model_files(*codecs):
    """The files of the models that codec entries need: inputs of every job that runs them."""
    names = sorted({model_name(run.config, codec) for codec in codecs} - {None})
    if run.config["models"]:
        folders = [models_folder(run.config) / name for name in names]
        return [str(path) for folder in folders for path in given_files(folder)]
    guides = {
        f"features-{kind}"
        for codec in codecs
        if model_name(run.config, codec) == NAME
        for kind in used_features(run.codecs[codec])
    }
    files = []
    if NAME in names:
        parts = [f"{part}.safetensors" for part in (*PARTS, *sorted(guides))]
        files += expand("<results>/models/{name}/{file}", name=NAME, file=parts)
    if icmh.NAME in names:
        parts = [f"{part}.safetensors" for part in (*icmh.PARTS, icmh.TAGGER)]
        homes = ["", *(f"{icmh.VARIANTS}/{v}/" for v in used_variants(*codecs))]
        files += [f"<results>/models/{icmh.NAME}/{home}{file}" for home in homes for file in parts]
    return files


def used_variants(*codecs):
    """The variants of diff-icmh that the points of codec entries name, sorted."""
    points = [point for codec in codecs for point in run.codecs[codec].points]
    found = {dict(point.encode).get("variant", "main") for point in points}
    return sorted(found - {"main"})


def sets_of(items):
    """The data sets of single images that the configuration names, sorted."""
    return sorted({item["dataset"] for item in items})


def model_cards():
    """The cards of the models that this run makes, where it makes some."""
    made = [NAME] * (OWN_MODEL and USES_MPD) + [icmh.NAME] * OWN_DIFFUSION
    return [f"{run.config['results']}/models/{name}/{CARD}" for name in made]


def visual_inputs():
    """What the visual comparisons read: the shards of their images, streams, measurements, models."""
    kinds = {
        **PLACES,
        "measurements": "<results>/measurements/{dataset}/{codec}/{shard}.parquet",
    }
    return place_inputs(run.config["visual"], kinds, list(run.codecs))


def diffusion_inputs():
    """What the pictures of the diffusion codec read: as the palette hierarchies do."""
    return place_inputs(run.config["diffusion"], PLACES, DIFFUSION[:1])


def hierarchy_inputs():
    """What the palette hierarchies read: the shards of their images and streams, the model."""
    return place_inputs(run.config["hierarchy"], PLACES, MPD[:1])


PLACES = {
    "records": "<results>/datasets/{dataset}/shards/{shard}.csv",
    "images": "<results>/datasets/{dataset}/images/{shard}",
    "streams": "<results>/streams/{dataset}/{codec}/{shard}.zip",
}


def place_inputs(items, kinds, codecs):
    """The files of some kinds in the shards of single images, and the models of the codecs."""
    places = [(item["dataset"], shard_of(item["image"], len(SHARDS))) for item in items]
    files = {
        kind: sorted(
            {
                path
                for dataset, shard in places
                for path in expand(pattern, dataset=dataset, shard=shard, codec=codecs)
            }
        )
        for kind, pattern in kinds.items()
    }
    return {**files, "models": model_files(*codecs) if places else []}


def expected_benchmarks():
    """Benchmark files of this configuration's jobs, by rule; older ones may lie beside them."""
    unit = expand("{dataset}.{codec}.{shard}", dataset=run.datasets, codec=run.codecs, shard=SHARDS)
    sets = list(run.datasets)
    names = {
        "dataset_shard": expand("{dataset}.{shard}", dataset=run.datasets, shard=SHARDS),
        **dict.fromkeys(("encode", "decode", "measure"), unit),
        **dict.fromkeys(("manifest", "rate_figures", "contact_sheet"), sets),
        "annotations": ANNOTATED,
        **dict.fromkeys(("rd_tables", "timing_table", "provenance"), ["all"]),
        "visual_comparison": ["all"] if VISUALS else [],
        **robustness_benchmarks(),
        **training_benchmarks(),
        **task_benchmarks(),
        **({"training_pool": list(run.training.data)} if run.training.data else {}),
        "loss_figures": ["all"] if LOSSES else [],
        **mpd_benchmarks(),
        "ablation": ["all"] if ABLATION else [],
        "paired_table": ["all"] if PAIRED else [],
        "alpha_sweep": list(SWEEPS),
    }
    folder = f"{run.config['results']}/benchmarks"
    return {rule: [f"{folder}/{rule}/{n}.tsv" for n in files] for rule, files in names.items()}


def robustness_benchmarks():
    """Benchmark files of the robustness jobs, by rule, where there are such jobs."""
    if not ROBUSTNESS:
        return {}
    damaged = expand(
        "{dataset}.{codec}", dataset=run.config["robustness"]["dataset"], codec=run.codecs
    )
    return {"robustness": damaged, "robustness_table": ["all"]}


def task_benchmarks():
    """Benchmark files of the jobs of tasks, by rule, where there are such jobs."""
    if not run.tasks:
        return {}
    pairs = [(data, task) for task in run.tasks for data in run.config["tasks"][task]["datasets"]]
    sets = sorted({data for data, _ in pairs})
    looks = expand("{data}.{codec}.{shard}", data=sets, codec=run.codecs, shard=SHARDS)
    return {
        "predict": looks,
        "predict_originals": expand("{data}.{shard}", data=sets, shard=SHARDS),
        "task_scores": [f"{dataset}.{task}" for dataset, task in pairs],
        "tasks_tables": ["all"],
        "task_figures": ["all"],
        "train_task": list(TRAINED["tasks"]),
    }


def mpd_benchmarks():
    """Benchmark files of the jobs that look into MPD's streams, by rule, where there are such."""
    if not MPD:
        return {}
    unit = expand("{dataset}.{codec}.{shard}", dataset=run.datasets, codec=MPD, shard=SHARDS)
    drawn = {"palette_hierarchy": ["all"]} if HIERARCHIES else {}
    return {"mpd_states": unit, "mpd_states_table": ["all"], **drawn}


def training_benchmarks():
    """Benchmark files of the training jobs, by rule, where the run makes its own model."""
    if not OWN_MODEL:
        return {}
    jobs = {"train_autoencoder": ["all"], **diffusion_training_benchmarks()}
    if USES_MPD:
        rules = (*(f"train_{part}" for part in PARTS), "model_card")
        jobs |= dict.fromkeys(rules, ["all"])
    if "vgg" in run.training.encoder_parts:
        jobs["train_vgg"] = ["all"]
    jobs["train_features"] = [part.removeprefix("features-") for part in FEATURES]
    if LABELLED:
        jobs["pseudo_labels"] = LABELLED
        one = ("pseudo_labels_table", "retrieval", "clusters_figure")
        jobs |= dict.fromkeys(one, ["all"])
        jobs["taps_figure"] = ["all"] if DRAWN else []
    return jobs


def diffusion_training_benchmarks():
    """Benchmark files of the jobs that make Diff-ICMH's model, by rule, where it is made."""
    if not OWN_DIFFUSION:
        return {}
    one = ("train_prior", "train_tagger", "icmh_shared", "icmh_card")
    variants = ["main", *TRAINING["variants"]]
    stages = dict.fromkeys(("train_stage_1", "train_stage_2"), variants)
    return {**dict.fromkeys(one, ["all"]), **stages}


def all_figures():
    """Every figure of the run, as PNG (the other formats come with it)."""
    names = [f"{kind}_{name}" for kind in ("rd", "rate_time", "contact") for name in run.datasets]
    names += [f"bd_{anchor}_{name}" for anchor in run.config["anchors"] for name in run.datasets]
    names += [f"visual_{number}" for number in VISUALS]
    names += [f"paired_{name}" for name in run.datasets] if PAIRED else []
    names += ["robustness"] if ROBUSTNESS else []
    names += [f"loss_{network}" for network in LOSSES]
    if MPD:
        names += [f"{kind}_{name}" for kind in ("states", "bit_shares") for name in run.datasets]
    names += [*HIERARCHIES, *ABLATION_FIGURES]
    names += [f"alpha_sweep_{guide}_{name}" for guide in SWEEPS for name in run.datasets]
    if LABELLED:
        names += [*CLUSTER_FIGURES, "embedding", *(["taps"] if DRAWN else [])]
        names += [f"montage_{kind}_{tap}" for kind in LABELLED for tap in TAPS]
    names += TASK_FIGURES
    return expand("<results>/figures/{name}.png", name=names)
