# What the rules of tasks share.

from icmbench.config.tasks import task_downloads, task_entry, task_parts
from icmbench.tasks.bundled import FOLDER as TASK_FOLDER
from icmbench.tasks.bundled import PARTS as BUNDLED_TASKS
from icmbench.tasks.bundled import bundled_file
from icmbench.tasks.backends.openmm_task import OpenMMTask
from icmbench.tasks.run import ORIGINALS
from icmbench.config.training import scene_sources

TASK_PAIRS = [
    (dataset, task) for task in run.tasks for dataset in run.config["tasks"][task]["datasets"]
]

TASK_DOWNLOADS = task_downloads(run.config)
TASK_PICTURES = [
    f"task_pictures_{item['dataset']}_{n}" for n, item in enumerate(run.config["task_pictures"])
]
# Figure -> data set and task, of the models that have a backbone to look into.
GAP_FIGURES = {
    f"feature_gap_{dataset}.{task}": (dataset, task)
    for dataset, task in TASK_PAIRS
    if isinstance(run.tasks[task], OpenMMTask)
}


def task_picture_inputs():
    """What the pictures of tasks read: as the visual comparisons do, and what the models said."""
    items = run.config["task_pictures"]
    measured = "<results>/measurements/{dataset}/{codec}/{shard}.parquet"
    files = place_inputs(items, {**PLACES, "measurements": measured}, list(run.codecs))
    said = {
        f"<results>/predictions/{item['dataset']}/{codec}/{shard}"
        for item in items
        for shard in [shard_of(item["image"], len(SHARDS))]
        for codec in [ORIGINALS, *run.codecs]
    }
    files["predictions"] = sorted(said)
    files["truth"] = [file for dataset in sets_of(items) for file in truth_files(dataset)]
    return files


def truth_files(dataset):
    """The annotations of a data set."""
    names = ("instances", "landmarks", "classes", "semantic")
    return [f"<results>/datasets/{dataset}/{name}.json" for name in names]


def tasks_of(dataset):
    """Names of the tasks of a data set, sorted."""
    return sorted(task for data, task in TASK_PAIRS if data == dataset)


def task_entries(dataset):
    """The configuration of every task of a data set, by name."""
    return {task: task_entry(run.config, task) for task in tasks_of(dataset)}


def task_files(tasks):
    """The files that predictions depend on; a bundled model is one that this run makes."""
    return sorted({str(path) for task in tasks for path in run.tasks[task].files()})


def task_gpus(tasks):
    """GPUs of a job that looks with the models of tasks: 0 or 1."""
    return network_gpus() * any(run.tasks[task].uses_device for task in tasks)


def task_training_settings(part):
    """What decides a trained part's numbers besides its inputs."""
    return {**TRAINING[part], "seed": TRAINING["seed"]}


def checkpoint_of(part):
    """Not an output: Snakemake removes those of a job that was killed."""
    return f"{run.config['results']}/training/checkpoints/{part}.pt"
