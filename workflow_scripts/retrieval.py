"""Do the features bring patches of one class together: a table, and a map of the patches."""

from pathlib import Path

import torch

from icmbench.core.devices import use_device
from icmbench.core.joblog import log_to
from icmbench.reporting.figures.style import save
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.studies.clusters import embedding_map, retrieval_table, retrieve

with log_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, folder = snakemake.params, Path(snakemake.input.model[0]).parent
    found = retrieve(
        folder,
        params.kinds,
        scenes=params.scenes,
        patch=params.patch,
        device=use_device(params.device),
    )
    write_csv(retrieval_table(found), Path(snakemake.output.table))
    save(embedding_map(found), Path(snakemake.output.figure[0]).with_suffix(""))
