# The images of every training set, and the loss curves of the trainings.


rule training_pool:
    input:
        fetched=lambda wc: ancient(plan.source_files(run.training.sources[wc.source])),
    output:
        records="<results>/training/pool/{source}/records.csv",
        images=directory("<results>/training/pool/{source}/images"),
    log:
        "<logs>/training_pool/{source}.log",
    benchmark:
        "<benchmarks>/training_pool/{source}.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        runtime=lambda wc, attempt: 240 * attempt,
    params:
        code=code_of("training_pool"),
        entry=lambda wc: TRAINING["data"][wc.source],
        downloads=run.config["downloads"],
        fingerprint=lambda wc: plan.training_fingerprint(wc.source),
    script:
        "../workflow_scripts/training_pool.py"


if plan.losses:

    # One job for all: drawing from small tables takes less time than starting processes.
    rule loss_figures:
        input:
            histories=expand("<results>/training/{network}.csv", network=plan.losses),
        output:
            figures=plan.files_of("loss_figures", "figure"),
        log:
            "<logs>/loss_figures.log",
        benchmark:
            "<benchmarks>/loss_figures/all.tsv"
        conda:
            "../envs/reporting.yaml"
        params:
            code=code_of("loss_figures"),
            drawn=plan.drawn("loss", "network"),
        script:
            "../workflow_scripts/loss_figures.py"
