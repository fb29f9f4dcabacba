# Training of Diff-ICMH's model: prior, tagger, codec and control network in two stages, and other
# trainings of the latter as variants. A part with 0 steps is the bundled file, byte for byte.


ICMH_MODEL = "<results>/models/diff-icmh"
VARIANTS = list(TRAINING["variants"])


def icmh_bundled(part):
    """The bundled file of a part, where this run starts from it."""
    if TRAINING["start"] == "scratch":
        return {}
    return {"bundled": str(icmh.part_file(icmh.bundled(), part))}


def icmh_inputs(part):
    """The bundled file, and for a trained part the pool and the autoencoder."""
    files = icmh_bundled(part)
    if part in run.icmh:
        home = "<results>/training/pool/{source}"
        files["records"] = expand(f"{home}/records.csv", source=run.pool)
        files["images"] = expand(f"{home}/images", source=run.pool)
        files["autoencoder"] = f"<results>/models/{NAME}/autoencoder.safetensors"
    return files


def icmh_settings(part):
    """What decides a trained part's numbers besides its inputs; empty for a bundled one."""
    if part not in run.icmh:
        return {}
    shared = {key: TRAINING[key] for key in ("start", "precision", "seed", "crop", "codec")}
    versions = {name: package_version(name) for name in ("torch", "diffusers")}
    sources = training_sources("codec" if part.startswith("stage") else part)
    own = {"versions": versions, "sources": sources, "source_tags": source_tags(TRAINING)}
    # The tagger looks at what the prior was trained on.
    cells = {"cells": TRAINING["prior"]["cells"]}
    return {**cells, **TRAINING[part], **shared, **own, "device": run.config["device"]}


def stage_settings(stage, variant):
    """The settings of a stage, with what is different in a variant of the training."""
    settings = icmh_settings(stage)
    if not settings:
        return {}
    changed = {} if variant == "main" else TRAINING["variants"][variant]
    return {**settings, "codec": {**settings["codec"], **changed}}


def stage_files(stage, variant):
    """Codec, control network and tables behind a stage; behind the last one they are the model's."""
    model = ICMH_MODEL if variant == "main" else f"{ICMH_MODEL}/variants/{variant}"
    place = model if stage == "stage_2" else f"<results>/training/icmh/{variant}"
    return {part: f"{place}/{part}.safetensors" for part in ("codec", "control", "tables")}


def stage_inputs(stage, variant="{variant}"):
    """What a stage starts from: the stage before it, or the bundled codec."""
    files = icmh_inputs(stage)
    files.pop("bundled", None)
    if stage == "stage_2":
        files |= {f"start_{k}": v for k, v in stage_files("stage_1", variant).items()}
    elif TRAINING["start"] == "bundled":
        bundled_parts = ("codec", "control", "tables")
        files |= {f"start_{k}": str(icmh.part_file(icmh.bundled(), k)) for k in bundled_parts}
    if stage in run.icmh:
        files["prior"] = f"{ICMH_MODEL}/prior.safetensors"
    return files


rule train_prior:
    input:
        **icmh_inputs("prior"),
    output:
        **({"history": "<results>/training/prior.csv"} if "prior" in run.icmh else {}),
        weights=f"{ICMH_MODEL}/prior.safetensors",
    log:
        "<logs>/train_prior.log",
    benchmark:
        "<benchmarks>/train_prior/all.tsv"
    priority: 6
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: (1440 if "prior" in run.icmh else 10) * attempt,
    params:
        settings=icmh_settings("prior"),
        checkpoint=checkpoint("prior"),
    script:
        "../workflow_scripts/train_prior.py"


rule train_tagger:
    input:
        **icmh_inputs("tagger"),
        prior=f"{ICMH_MODEL}/prior.safetensors",
    output:
        **({"history": "<results>/training/tagger.csv"} if "tagger" in run.icmh else {}),
        weights=f"{ICMH_MODEL}/tagger.safetensors",
    log:
        "<logs>/train_tagger.log",
    benchmark:
        "<benchmarks>/train_tagger/all.tsv"
    priority: 6
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: (1440 if "tagger" in run.icmh else 10) * attempt,
    params:
        settings=icmh_settings("tagger"),
        checkpoint=checkpoint("tagger"),
    script:
        "../workflow_scripts/train_prior.py"


rule train_stage_1:
    input:
        **stage_inputs("stage_1"),
    output:
        **stage_files("stage_1", "{variant}"),
        **({"history": "<results>/training/stage_1-{variant}.csv"} if "stage_1" in run.icmh else {}),
    log:
        "<logs>/train_stage_1/{variant}.log",
    benchmark:
        "<benchmarks>/train_stage_1/{variant}.tsv"
    wildcard_constraints:
        variant="|".join(["main", *VARIANTS]),
    priority: 6
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: (1440 if "stage_1" in run.icmh else 10) * attempt,
    params:
        settings=lambda wc: stage_settings("stage_1", wc.variant),
        checkpoint=checkpoint("stage_1-{variant}"),
        stage=1,
    script:
        "../workflow_scripts/train_stage.py"


rule train_stage_2:
    input:
        **stage_inputs("stage_2", "main"),
    output:
        **stage_files("stage_2", "main"),
        **({"history": "<results>/training/stage_2-main.csv"} if "stage_2" in run.icmh else {}),
    log:
        "<logs>/train_stage_2/main.log",
    benchmark:
        "<benchmarks>/train_stage_2/main.tsv"
    priority: 6
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: (1440 if "stage_2" in run.icmh else 10) * attempt,
    params:
        settings=stage_settings("stage_2", "main"),
        checkpoint=checkpoint("stage_2-main"),
        stage=2,
    script:
        "../workflow_scripts/train_stage.py"


if VARIANTS:

    use rule train_stage_2 as train_stage_2_variant with:
        input:
            **stage_inputs("stage_2", "{variant}"),
        output:
            **stage_files("stage_2", "{variant}"),
            **(
                {"history": "<results>/training/stage_2-{variant}.csv"}
                if "stage_2" in run.icmh
                else {}
            ),
        log:
            "<logs>/train_stage_2/{variant}.log",
        benchmark:
            "<benchmarks>/train_stage_2/{variant}.tsv"
        wildcard_constraints:
            variant="|".join(VARIANTS),
        params:
            settings=lambda wc: stage_settings("stage_2", wc.variant),
            checkpoint=checkpoint("stage_2-{variant}"),
            stage=2,


# What the folder of the model and those of its variants share.
rule icmh_shared:
    input:
        autoencoder=f"<results>/models/{NAME}/autoencoder.safetensors",
        prior=f"{ICMH_MODEL}/prior.safetensors",
        tagger=f"{ICMH_MODEL}/tagger.safetensors",
    output:
        autoencoder=f"{ICMH_MODEL}/autoencoder.safetensors",
        variants=[
            f"{ICMH_MODEL}/variants/{variant}/{part}.safetensors"
            for variant in VARIANTS
            for part in ("autoencoder", "prior", "tagger")
        ],
    log:
        "<logs>/icmh_shared.log",
    benchmark:
        "<benchmarks>/icmh_shared/all.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    script:
        "../workflow_scripts/icmh_shared.py"


rule icmh_card:
    input:
        [f"{ICMH_MODEL}/{part}.safetensors" for part in (*icmh.PARTS, icmh.TAGGER)],
    output:
        f"{ICMH_MODEL}/{icmh.CARD}",
    log:
        "<logs>/icmh_card.log",
    benchmark:
        "<benchmarks>/icmh_card/all.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    script:
        "../workflow_scripts/icmh_card.py"


localrules:
    icmh_shared,
    icmh_card,
