# Shared by all files of rules - the validated run, its plan, and the patterns of its files.

import os
import sys
from pathlib import Path

from icmbench.config.braces import check_repository
from icmbench.config.job_code import workflow_code
from icmbench.config.command_line import with_given_values
from icmbench.config.plan import Plan
from icmbench.config.published import unmatched_points
from icmbench.config.rate_scales import rate_scales
from icmbench.config.resources import METRICS_MB, Demand, network_mb, training_mb
from icmbench.config.models import coding_settings
from icmbench.config.run import announcements, make_run
from icmbench.config.targets import TABLES, absent_targets
from icmbench.config.weights_names import curve_names, weights_names
from icmbench.core.errors import IcmbenchError
from icmbench.core.follow_logs import follow
from icmbench.core.processes import collect_rarely, end_quickly, protect_children
from icmbench.evaluation.units import without_units

# One thread per job: jobs run in parallel, and sums come out in the same order every time.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# glibc: keep freed memory: handing arrays back to the kernel is up to a third of a measuring job.
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(1 << 30))
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(1 << 32))

protect_children()
collect_rarely()
end_quickly()  # Snakemake, and what it starts for each job on a cluster, holds all modules
# Of the repository: the main Snakefile may be workflow/Snakefile, which includes this one's.
HOME = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent

if config.get("packed"):
    raise WorkflowError("packed: streams of `icmbench unpack` are decoded by -s rules/packed.smk")

try:
    check_repository(HOME)
    run = make_run(with_given_values(config, workflow.config_settings.config))
except IcmbenchError as error:
    raise WorkflowError(str(error)) from None

config.update(run.config)  # scripts see the defaults, too
plan = Plan(run)
# `nodes` is the number of `--jobs`, which a cluster's profile sets.
demand = Demand(run, cluster=workflow.resource_settings.nodes is not None)
code_of = workflow_code(run.config, HOME)
TRAINING = run.config["training"]

if workflow.is_main_process:  # once, not in the start of every job
    for line in [*announcements(run), *unmatched_points(plan)]:
        print(f"icmbench: {line}", file=sys.stderr)
    follow(Path(run.config["results"]).absolute() / "logs")


pathvars:
    results=run.config["results"],
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",


wildcard_constraints:
    dataset="|".join(run.datasets),
    codec="|".join(run.codecs),
    shard=r"\d+",


RECORDS = "<results>/datasets/{dataset}/shards/{shard}.csv"
IMAGES = "<results>/datasets/{dataset}/images/{shard}"
STREAMS = "<results>/streams/{dataset}/{codec}/{shard}.zip"
MEASUREMENTS = "<results>/measurements/{dataset}/{codec}/{shard}.parquet"
PLACES = {"records": RECORDS, "images": IMAGES, "streams": STREAMS}


def shard_files(pattern, **wildcards):
    """The files of a pattern, one per combination of the wildcards and shards."""
    return expand(pattern, shard=plan.shards, **wildcards)


def unit_files(pattern, datasets=None, codecs=None, **wildcards):
    """The files of a pattern, one per unit (of all, or the given, data sets and entries), shard."""
    return [
        file
        for dataset, codec in plan.units(datasets, codecs)
        for file in shard_files(pattern, dataset=dataset, codec=codec, **wildcards)
    ]


def measurements(datasets=None, codecs=None):
    """Measurement files of all (or the given) data sets and codec entries."""
    return unit_files(MEASUREMENTS, datasets, codecs)


def figure_files(name):
    """A figure in all its formats."""
    return expand("<results>/figures/{name}.{format}", name=name, format=["png", "svg", "pdf"])


def place_inputs(section, patterns, codecs):
    """The files of the shards of single images, and the model files of the codec entries."""
    items = run.config[section]
    files = plan.image_files(items, patterns, codecs)
    return {**files, "models": plan.model_files(*codecs) if items else []}


def published_inputs():
    """The table of published points, where the run has some."""
    return {"published": "<results>/tables/published.csv"} if plan.published else {}


def place_sets(section):
    """The data sets of the images of a section, sorted."""
    return sorted({item["dataset"] for item in run.config[section]})


def reconstructions_mb(wildcards):
    """Disk space of a shard's reconstructions, in MB."""
    images = plan.shard_images(wildcards.dataset)[int(wildcards.shard)]
    return demand.reconstructions_mb(wildcards.dataset, wildcards.codec, len(images))


def compresses(wildcards):
    """True if a shard's reconstructions are compressed."""
    images = plan.shard_images(wildcards.dataset)[int(wildcards.shard)]
    return demand.compresses(wildcards.dataset, wildcards.codec, len(images))


def refusal(text):
    """An input function that raises."""

    def refuse(wildcards):
        raise WorkflowError(text)

    return refuse
