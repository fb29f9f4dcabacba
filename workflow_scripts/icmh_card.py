"""What the files of Diff-ICMH's model folder are and how they were made."""

from pathlib import Path

from icmbench.codecs.diff_icmh.card import model_card
from icmbench.core.files import write_json
from icmbench.core.joblog import log_to

with log_to(snakemake.log[0]):
    out = Path(snakemake.output[0])
    write_json(out, model_card(out.parent, snakemake.params.start))
