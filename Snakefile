# icmbench: from images to rate-distortion tables, figures and a report.
#
#   snakemake --cores all                                      the default run (config.yaml)
#   snakemake --cores all --configfile configs/kodak.yaml      another run, instead of it
#   snakemake --cores all --config shards=3                    the default run with a change

from snakemake.utils import min_version

from icmbench.core.processes import end_quickly, protect_children

min_version("9.27")
protect_children()
end_quickly()  # on a cluster Snakemake starts twice for every job


# A configuration file on the command line replaces config.yaml; single --config values change it.
if not workflow.overwrite_configfiles:

    configfile: workflow.source_path("config.yaml")


# A workstation shares one GPU among jobs (profiles/default); a cluster has more. Decoded pictures
# lie on one file system, wherever they are made.
resource_scopes:
    gpu="local",
    disk_mb="global",


# Streams of another machine (docs/decoding-elsewhere.md): there is nothing to make but pictures.
if config.get("packed"):

    include: "rules/packed.smk"
    include: "rules/targets.smk"

    localrules:
        all,

    rule all:
        default_target: True
        input:
            "<results>/decoded.tar",

else:

    include: "rules/common.smk"

    pathvars:
        results=run.config["results"],
        logs="<results>/logs",
        benchmarks="<results>/benchmarks",

    wildcard_constraints:
        dataset="|".join(run.datasets),
        codec="|".join(run.codecs),
        shard=r"\d+",

    include: "rules/datasets.smk"

    if run.training.data or OWN_MODEL:

        include: "rules/training_pool.smk"

    if OWN_MODEL:

        include: "rules/training.smk"
        include: "rules/representation.smk"

    if OWN_DIFFUSION:

        include: "rules/diffusion_training.smk"
    include: "rules/coding.smk"
    include: "rules/evaluation.smk"

    if run.tasks:

        include: "rules/tasks.smk"
        include: "rules/task_figures.smk"

    if ROBUSTNESS:

        include: "rules/robustness.smk"

    if MPD:

        include: "rules/palette.smk"

    if DIFFUSION:

        include: "rules/diffusion.smk"
    include: "rules/tables.smk"
    include: "rules/ablation.smk"
    include: "rules/figures.smk"
    include: "rules/report.smk"
    include: "rules/targets.smk"

    localrules:
        all,

    rule all:
        default_target: True
        input:
            "<results>/verdict.json",
