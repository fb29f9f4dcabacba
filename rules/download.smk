# Published files: one job per source, where Snakemake itself runs, never on a compute node.
#
#   snakemake --cores 2 downloads                     all sources of the configuration's data sets
#   snakemake --cores 2 downloads/kodak/fetched.json  one source by name, needed or not
#
# A plan needs no network. Sets whose image ids stand in fetched files are fetched before it:
# `icmbench fetch coco2017-annotations`.

from icmbench.config.sources import run_sources
from icmbench.core.fetch_command import FETCHED

SOURCES = run_sources(run.config)


rule download:
    output:
        fetched=f"{run.config['downloads']}/{{source}}/{FETCHED}",
    log:
        "<logs>/download/{source}.log",
    benchmark:
        "<benchmarks>/download/{source}.tsv"
    wildcard_constraints:
        source="|".join(SOURCES),
    priority: 8
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        code=code_of("download"),
        files=lambda wc: [[file.name, file.sha256] for file in SOURCES[wc.source].files],
    script:
        "../workflow_scripts/download.py"


rule downloads:
    input:
        plan.source_files(*run.datasets.values(), *run.training.sources.values()),
    localrule: True
