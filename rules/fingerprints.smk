# The code of jobs: a parameter of every rule that runs a script, so that an edit reruns what depends
# on it and nothing else.

import os

from icmbench.core.fingerprint import Code
from icmbench.config.job_code import JobCode
from icmbench.core.revision import VARIABLE, code_revision

SOURCES = Code(Path(".snakemake") / "icmbench" / "sources.json")
JOB_CODE = JobCode(run.config, Path(workflow.basedir) / "workflow_scripts", SOURCES)

# Every job writes it into its log.
os.environ[VARIABLE] = code_revision(Path(workflow.basedir), SOURCES.digest)


def code_of(script, made=True, **entries):
    """The fingerprint of the jobs of a workflow script, as a function of their wildcards.

    made: False: the jobs only copy a bundled file. entries: as in `JobCode.of_job`.
    """
    if not made:
        return JOB_CODE.of_copy()
    return lambda wc: JOB_CODE.of_job(script, dict(wc.items()), **entries)
