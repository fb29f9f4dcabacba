# Decoding elsewhere: the only rules where the configuration says `packed`. They decode the streams
# that `icmbench unpack` has laid out with the models beside them; there is no rule that could make
# a stream, a model or an image.

from pathlib import Path

from icmbench.config.models import coding_settings, given_files, model_name, models_folder
from icmbench.transfer.packed import packed_run
from icmbench.core.errors import IcmbenchError
from icmbench.core.follow_logs import follow
from icmbench.config.targets import absent_when_packed

try:
    run = packed_run(config, Path(workflow.basedir) / "schemas" / "config.schema.json")
except IcmbenchError as error:
    raise WorkflowError(str(error)) from None

config.update(run.config)  # scripts see the defaults, too
ABSENT = absent_when_packed()

if workflow.is_main_process:
    follow(Path(run.config["results"]).absolute() / "logs")


include: "gpu_common.smk"
include: "fingerprints.smk"


pathvars:
    results=run.config["results"],
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",


wildcard_constraints:
    dataset="|".join(run.config["datasets"]),
    codec="|".join(run.codecs),
    shard=r"\d+",


def model_files(codec):
    """The files of the model that a codec entry needs."""
    name = model_name(run.config, codec)
    return [str(path) for path in given_files(models_folder(run.config) / name)] if name else []


def unit_files(folder, suffix):
    """The files of a kind, of all that is decoded."""
    return [f"{run.config['results']}/{unit.member(folder, suffix)}" for unit in run.units]


localrules:
    decoded,


# What came of it, to be sent home: `icmbench verify` compares it with what was decoded there.
rule decoded:
    input:
        streams=unit_files("streams", ".zip"),
        pictures=unit_files("reconstructions", ".zip"),
        status=unit_files("decoded", ".csv"),
    output:
        "<results>/decoded.tar",
    log:
        "<logs>/decoded.log",
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=1500,
        runtime=60,
    params:
        code=code_of("pack_pictures", codecs=run.codecs, datasets=(), tasks=()),
        config=run.config,
    script:
        "../workflow_scripts/pack_pictures.py"


# As in coding.smk, but the pictures stay: they are what is compared.
rule decode:
    input:
        streams="<results>/streams/{dataset}/{codec}/{shard}.zip",
        encoded="<results>/streams/{dataset}/{codec}/{shard}.csv",
        model=lambda wc: model_files(wc.codec),
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
        gpu=lambda wc: gpus(wc.codec),
        mem_mb=lambda wc, input, attempt: attempt * network_mb(input.model),
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        code=code_of("decode"),
        settings=lambda wc: coding_settings(run.config, wc.codec),
    script:
        "../workflow_scripts/decode.py"
