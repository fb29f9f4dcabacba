"""What the decoders made of damaged streams, and other machines of whole ones: table and figure."""

from pathlib import Path

import pandas as pd

from icmbench.core.joblog import log_to
from icmbench.evaluation.agreement import read_verification
from icmbench.reporting.figures.robustness import robustness_figure
from icmbench.reporting.figures.style import save
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.robustness import robustness_table

with log_to(snakemake.log[0]):
    trials = pd.concat(
        [pd.read_parquet(path) for path in snakemake.input.trials], ignore_index=True
    )
    verified = {Path(path).stem: read_verification(path) for path in snakemake.input.verifications}
    write_csv(robustness_table(trials, verified), Path(snakemake.output.table))
    figure = robustness_figure(trials, snakemake.params.dataset)
    save(figure, Path(snakemake.output.figure[0]).with_suffix(""))
