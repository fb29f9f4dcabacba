"""What the files of the model folder are and how they were made."""

from pathlib import Path

from icmbench.files import write_json
from icmbench.joblog import log_to
from icmbench.mpd.card import model_card

with log_to(snakemake.log[0]):
    out, parts = Path(snakemake.output[0]), [Path(file).stem for file in snakemake.input]
    write_json(out, model_card(out.parent, parts, snakemake.params.start))
