# icmbench: from images to rate-distortion tables, figures and a report.
#
#   snakemake --cores all                                      the default run (config.yaml)
#   snakemake --cores all --configfile configs/kodak.yaml      another run, instead of it
#   snakemake --cores all --config shards=3                    the default run with a change
#
# Remote decoding is the workflow of rules/packed.smk (docs/decoding-elsewhere.md).

from snakemake.utils import min_version

min_version("9.27")


# A configuration file on the command line replaces config.yaml; single --config values change it.
if not workflow.overwrite_configfiles:

    configfile: workflow.source_path("config.yaml")


# A workstation shares one GPU among jobs (profiles/default); a cluster has more. Reconstructions
# lie on one file system, wherever they are made.
resource_scopes:
    gpu="local",
    disk_mb="global",


include: "rules/common.smk"
include: "rules/download.smk"
include: "rules/datasets.smk"
include: "rules/training_pool.smk"
include: "rules/training.smk"
include: "rules/zoo.smk"
include: "rules/representation.smk"
include: "rules/diffusion_training.smk"
include: "rules/coding.smk"
include: "rules/evaluation.smk"
include: "rules/tasks.smk"
include: "rules/latent_tasks.smk"
include: "rules/adapted_tasks.smk"
include: "rules/models.smk"
include: "rules/task_figures.smk"
include: "rules/robustness.smk"
include: "rules/distribution.smk"
include: "rules/palette.smk"
include: "rules/diffusion.smk"
include: "rules/tables.smk"
include: "rules/published.smk"
include: "rules/ablation.smk"
include: "rules/figures.smk"
include: "rules/report.smk"
include: "rules/paper.smk"


rule all:
    default_target: True
    input:
        "<results>/verdict.json",
    localrule: True
