# Training of Diff-ICMH's model: prior, tagger, codec and control network in two stages, and other
# trainings of the latter as variants. A part with 0 steps is the bundled file, byte for byte.


include: "diffusion_common.smk"


rule train_prior:
    input:
        **icmh_inputs("prior"),
    output:
        **({"history": "<results>/training/prior.csv"} if "prior" in ICMH_TRAINED else {}),
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
        gpu=network_gpus() * ("prior" in ICMH_TRAINED),
        mem_mb=lambda wc, input, attempt: attempt * training_mb(input),
        runtime=lambda wc, attempt: (1440 if "prior" in ICMH_TRAINED else 10) * attempt,
    params:
        code=code_of("train_prior", made="prior" in ICMH_TRAINED),
        settings=icmh_settings("prior"),
        checkpoint=checkpoint("prior"),
    script:
        "../workflow_scripts/train_prior.py"


rule train_tagger:
    input:
        **icmh_inputs("tagger"),
        prior=f"{ICMH_MODEL}/prior.safetensors",
    output:
        **({"history": "<results>/training/tagger.csv"} if "tagger" in ICMH_TRAINED else {}),
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
        gpu=network_gpus() * ("tagger" in ICMH_TRAINED),
        mem_mb=lambda wc, input, attempt: attempt * training_mb(input),
        runtime=lambda wc, attempt: (1440 if "tagger" in ICMH_TRAINED else 10) * attempt,
    params:
        code=code_of("train_prior", made="tagger" in ICMH_TRAINED),
        settings=icmh_settings("tagger"),
        checkpoint=checkpoint("tagger"),
    script:
        "../workflow_scripts/train_prior.py"


rule train_stage_1:
    input:
        **stage_inputs("stage_1"),
    output:
        **stage_files("stage_1", "{variant}"),
        **(
            {"history": "<results>/training/stage_1-{variant}.csv"}
            if "stage_1" in ICMH_TRAINED
            else {}
        ),
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
        gpu=network_gpus() * ("stage_1" in ICMH_TRAINED),
        mem_mb=lambda wc, input, attempt: attempt * training_mb(input),
        runtime=lambda wc, attempt: (1440 if "stage_1" in ICMH_TRAINED else 10) * attempt,
    params:
        code=code_of("train_stage", made="stage_1" in ICMH_TRAINED),
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
        **({"history": "<results>/training/stage_2-main.csv"} if "stage_2" in ICMH_TRAINED else {}),
    log:
        "<logs>/train_stage_2/main.log",
    benchmark:
        "<benchmarks>/train_stage_2/main.tsv"
    priority: 6
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        gpu=network_gpus() * ("stage_2" in ICMH_TRAINED),
        mem_mb=lambda wc, input, attempt: attempt * training_mb(input),
        runtime=lambda wc, attempt: (1440 if "stage_2" in ICMH_TRAINED else 10) * attempt,
    params:
        code=code_of("train_stage", made="stage_2" in ICMH_TRAINED),
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
                if "stage_2" in ICMH_TRAINED
                else {}
            ),
        log:
            "<logs>/train_stage_2/{variant}.log",
        benchmark:
            "<benchmarks>/train_stage_2/{variant}.tsv"
        wildcard_constraints:
            variant="|".join(VARIANTS),
        params:
            code=code_of("train_stage", made="stage_2" in ICMH_TRAINED),
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
    params:
        code=code_of("icmh_shared"),
    script:
        "../workflow_scripts/icmh_shared.py"


rule icmh_card:
    input:
        [f"{ICMH_MODEL}/{part}.safetensors" for part in (*icmh.PARTS, icmh.TAGGER)],
    output:
        f"{ICMH_MODEL}/{CARD}",
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
    params:
        code=code_of("icmh_card"),
        start=TRAINING["start"],
    script:
        "../workflow_scripts/icmh_card.py"


localrules:
    icmh_shared,
    icmh_card,
