"""What the files of the model folder are and how they were made."""

from pathlib import Path

from icmbench.files import write_json
from icmbench.joblog import log_to
from icmbench.mpd.card import model_card

with log_to(snakemake.log[0]):
    write_json(snakemake.output[0], model_card(Path(snakemake.output[0]).parent))
