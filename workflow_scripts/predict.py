"""What the models of tasks see in the pictures of a shard, or in its originals; loaded once."""

from pathlib import Path

from icmbench.core.joblog import log_to
from icmbench.datasets.manifest import read_records, usable
from icmbench.tasks.evaluate import read_truth
from icmbench.tasks.registry import make_task
from icmbench.tasks.run import load_tasks, predict_originals, predict_pictures

with log_to(snakemake.log[0]):
    import torch

    torch.set_num_threads(snakemake.threads)
    files, wildcards, out = snakemake.input, snakemake.wildcards, Path(snakemake.output[0])
    truth = read_truth(Path(files.truth[0]).parent)
    made = [make_task(name, entry) for name, entry in snakemake.params.entries.items()]
    tasks = load_tasks(made, truth.labels(wildcards.dataset), snakemake.params.device)
    if files.get("pictures"):
        predict_pictures(tasks, truth, Path(files.pictures), Path(files.decoded), out)
    else:
        records = usable(read_records(Path(files.records)), snakemake.params.split)
        predict_originals(tasks, truth, records, Path(files.images), out)
