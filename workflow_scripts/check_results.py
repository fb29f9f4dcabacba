"""The verdict on the finished run: exit with an error where `fail_on` asks for it."""

import sys
from pathlib import Path

from icmbench.core.files import write_json, write_text
from icmbench.core.joblog import log_to
from icmbench.reporting.report.verdict import read_verdict

with log_to(snakemake.log[0]):
    params = snakemake.params
    found = read_verdict(
        {Path(path).stem: Path(path) for path in snakemake.input.tables},
        [Path(path) for path in snakemake.input.manifests],
        split=params.split,
        codecs=params.codecs,
        task_sets=params.task_sets,
    )
    line = found.line(params.fail_on)
    write_text(params.line, line)  # no output: it stays where this job fails
    if found.is_error(params.fail_on):
        sys.exit(line)
    write_json(Path(snakemake.output[0]), {"empty": found.empty, "failed": found.failed})
