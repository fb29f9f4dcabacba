"""What the files of Diff-ICMH's model folder are and how they were made."""

from pathlib import Path

from icmbench.codecs.diff_icmh.model import LAYOUT
from icmbench.core.files import write_json
from icmbench.core.joblog import log_to
from icmbench.models.card import model_card

with log_to(snakemake.log[0]):
    out = Path(snakemake.output[0])
    write_json(out, model_card(LAYOUT, out.parent, start=snakemake.params.start))
