# Workflow of remote decoding. It decodes the streams that `icmbench unpack` unpacked, with the models
# beside them. It has no rule for streams, models or data sets.
#
#   snakemake --snakefile rules/packed.smk --cores all --configfile streams/config.yaml

from pathlib import Path

from icmbench.config.braces import check_repository
from icmbench.config.job_code import workflow_code
from icmbench.config.resources import Demand, network_mb
from icmbench.core.errors import IcmbenchError
from icmbench.core.follow_logs import follow
from icmbench.core.processes import protect_children
from icmbench.transfer.packed import packed_run
from snakemake.utils import min_version

min_version("9.27")
protect_children()

HOME = Path(workflow.basedir).parent

try:
    check_repository(HOME)
    run = packed_run(config)
except IcmbenchError as error:
    raise WorkflowError(str(error)) from None

config.update(run.config)  # scripts see the defaults, too
demand = Demand(run, cluster=workflow.resource_settings.nodes is not None)
code_of = workflow_code(run.config, HOME)

if workflow.is_main_process:
    follow(Path(run.config["results"]).absolute() / "logs")


resource_scopes:
    gpu="local",
    disk_mb="global",


pathvars:
    results=run.config["results"],
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",


wildcard_constraints:
    dataset="|".join(run.config["datasets"]),
    codec="|".join(run.codecs),
    shard=r"\d+",


# The result, for `icmbench verify` on the first machine, which compares the reconstructions.
rule decoded:
    default_target: True
    input:
        streams=run.files("streams", ".zip"),
        pictures=run.files("reconstructions", ".zip"),
        status=run.files("decoded", ".csv"),
    output:
        archive="<results>/decoded.tar",
    log:
        "<logs>/decoded.log",
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        code=code_of("pack_pictures", codecs=run.codecs, datasets=(), tasks=()),
        config=run.config,
    script:
        "../workflow_scripts/pack_pictures.py"


# As in coding.smk, but the reconstructions are kept.
rule decode:
    input:
        streams="<results>/streams/{dataset}/{codec}/{shard}.zip",
        encoded="<results>/streams/{dataset}/{codec}/{shard}.csv",
        model=lambda wc: run.model_files(wc.codec),
    output:
        pictures="<results>/reconstructions/{dataset}/{codec}/{shard}.zip",
        status="<results>/decoded/{dataset}/{codec}/{shard}.csv",
        timing="<results>/timing/{dataset}/{codec}/{shard}.decode.csv",
    log:
        "<logs>/decode/{dataset}.{codec}.{shard}.log",
    benchmark:
        "<benchmarks>/decode/{dataset}.{codec}.{shard}.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        gpu=lambda wc: demand.gpus(wc.codec),
        mem_mb=lambda wc, input, attempt: attempt * network_mb(input.model),
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        code=code_of("decode"),
        settings=lambda wc: run.settings(wc.dataset, wc.codec),
    script:
        "../workflow_scripts/decode.py"
