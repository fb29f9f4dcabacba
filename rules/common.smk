# What every rule file uses: the validated run, and which files belong to which data set.

import functools
import os
from pathlib import Path

from icmbench.configuration import coding_settings, make_run
from icmbench.datasets.base import shard_of
from icmbench.datasets.manifest import shard_ids
from icmbench.errors import IcmbenchError

# One thread per job: jobs run in parallel, and sums come out in the same order every time.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

try:
    run = make_run(config, Path(workflow.basedir) / "schemas" / "config.schema.json")
except IcmbenchError as error:
    raise WorkflowError(str(error)) from None

SHARDS = list(range(run.config["shards"]))
ANNOTATED = [name for name, dataset in run.datasets.items() if dataset.annotated]
FORMATS = ["png", "svg", "pdf"]


@functools.cache
def fingerprint(dataset, shard):
    """Changes when the images of one shard do: a new image reruns its shard and no other."""
    ids = shard_ids(run.datasets[dataset], shard, len(SHARDS))
    return [len(ids), run.datasets[dataset].fingerprint(ids)]


def measurements(datasets=None, codecs=None):
    """Measurement files of all (or the given) data sets and codecs."""
    return expand(
        "<results>/measurements/{dataset}/{codec}/{shard}.parquet",
        dataset=datasets or run.datasets,
        codec=codecs or run.families,
        shard=SHARDS,
    )


def shard_files(kind, **wildcards):
    """Files `<results>/<kind>`, one per combination of the wildcards and shards."""
    return expand("<results>/" + kind, shard=SHARDS, **wildcards)


def figure_files(name):
    """A figure in all its formats."""
    return expand("<results>/figures/{name}.{format}", name=name, format=FORMATS)


@functools.cache
def metrics_available():
    """The configured metrics that can be computed here (LPIPS and DISTS need weight files)."""
    from icmbench.metrics import available

    names, _ = available(run.config["weights"] and Path(run.config["weights"]))
    return [name for name in run.config["metrics"] if name in names]


def visual_inputs(wildcards):
    """What one visual comparison reads: the image's shard, its measurements and its streams."""
    item = run.config["visual"][int(wildcards.number)]
    shard = shard_of(item["image"], len(SHARDS))
    here = {"dataset": item["dataset"], "shard": shard, "codec": list(run.families)}
    return {
        "records": expand("<results>/datasets/{dataset}/shards/{shard}.csv", **here)[0],
        "images": expand("<results>/datasets/{dataset}/images/{shard}", **here)[0],
        "measurements": expand("<results>/measurements/{dataset}/{codec}/{shard}.parquet", **here),
        "streams": expand("<results>/streams/{dataset}/{codec}/{shard}.zip", **here),
    }


def all_figures():
    """Every figure of the run, as PNG (the other formats come with it)."""
    names = [f"{kind}_{name}" for kind in ("rd", "rate_time", "contact") for name in run.datasets]
    names += [f"bd_{anchor}_{name}" for anchor in run.config["anchors"] for name in run.datasets]
    names += [f"visual_{number}" for number in range(len(run.config["visual"]))]
    return expand("<results>/figures/{name}.png", name=names)
