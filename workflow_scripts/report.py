"""The report: one self-contained page."""

import json
from pathlib import Path

from icmbench.core.joblog import log_to
from icmbench.reporting.artefacts import Text
from icmbench.reporting.report.contents import assemble_report


def shown(kind):
    """Files of a kind with their words."""
    texts = [Text(**text) for text in snakemake.params.texts[kind]]
    return list(zip(map(Path, snakemake.input[kind]), texts, strict=True))


with log_to(snakemake.log[0]):
    assemble_report(
        Path(snakemake.output[0]),
        config=snakemake.params.config,
        notices=snakemake.params.notices,
        unavailable=snakemake.params.unavailable,
        tables=shown("tables"),
        manifests=[Path(path) for path in snakemake.input.manifests],
        comparison=json.loads(Path(snakemake.input.comparison).read_text(encoding="utf-8")),
        provenance=json.loads(Path(snakemake.input.provenance).read_text(encoding="utf-8")),
        figures=shown("figures"),
    )
