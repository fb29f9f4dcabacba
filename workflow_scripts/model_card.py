"""What the files of the model folder are and how they were made."""

from pathlib import Path

from icmbench.codecs.mpd.model import LAYOUT
from icmbench.core.files import write_json
from icmbench.core.joblog import log_to
from icmbench.models.card import model_card

with log_to(snakemake.log[0]):
    out, parts = Path(snakemake.output[0]), [Path(file).stem for file in snakemake.input]
    write_json(out, model_card(LAYOUT, out.parent, parts, snakemake.params.start))
