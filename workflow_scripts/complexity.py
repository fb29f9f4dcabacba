"""What the diffusion codec costs, beside the published configuration: a table and a figure."""

from pathlib import Path

from matplotlib import pyplot

from icmbench.codecs.diff_icmh.model import NAME
from icmbench.core.joblog import log_to
from icmbench.evaluation.shard import make_codec_entry
from icmbench.reporting.figures.complexity import complexity_figure
from icmbench.reporting.figures.style import declared_stem, save
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.studies.complexity import complexity_table

with log_to(snakemake.log[0]):
    params, out = snakemake.params, snakemake.output
    setup = make_codec_entry(params.codec, params.settings).setup
    table = complexity_table(setup.models / NAME if setup.models else None, setup.device)
    write_csv(table, Path(out.table))
    figure = complexity_figure(table, title=f"{params.codec}: seconds by stage")
    save(figure, declared_stem(out.figures, "complexity"))
    pyplot.close(figure)
