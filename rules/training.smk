# Training of a run's own model. Included where a codec needs one and `models` names no folder.
# A part with an amount of 0 is the bundled file, byte for byte.


include: "training_common.smk"


rule train_autoencoder:
    input:
        **training_inputs("autoencoder"),
    output:
        **training_outputs("autoencoder"),
    log:
        "<logs>/train_autoencoder.log",
    benchmark:
        "<benchmarks>/train_autoencoder/all.tsv"
    priority: 5
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        gpu=training_gpus("autoencoder"),
        mem_mb=lambda wc, input, attempt: attempt * training_mb(input),
        runtime=lambda wc, attempt: training_minutes("autoencoder", attempt),
    params:
        device=run.config["device"],
        code=code_of("train_autoencoder", made="autoencoder" in TRAINED["mpd"]),
        settings=training_settings("autoencoder"),
        checkpoint=checkpoint("autoencoder"),
    script:
        "../workflow_scripts/train_autoencoder.py"


rule train_contexts:
    input:
        **training_inputs("contexts"),
    output:
        **training_outputs("contexts"),
    log:
        "<logs>/train_contexts.log",
    benchmark:
        "<benchmarks>/train_contexts/all.tsv"
    priority: 5
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        gpu=training_gpus("contexts"),
        mem_mb=lambda wc, input, attempt: attempt * training_mb(input),
        runtime=lambda wc, attempt: training_minutes("contexts", attempt),
    params:
        device=run.config["device"],
        code=code_of("train_contexts", made="contexts" in TRAINED["mpd"]),
        settings=training_settings("contexts"),
    script:
        "../workflow_scripts/train_contexts.py"


rule train_reverse:
    input:
        **training_inputs("reverse"),
    output:
        **training_outputs("reverse"),
    log:
        "<logs>/train_reverse.log",
    benchmark:
        "<benchmarks>/train_reverse/all.tsv"
    priority: 5
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        gpu=training_gpus("reverse"),
        mem_mb=lambda wc, input, attempt: attempt * training_mb(input),
        runtime=lambda wc, attempt: training_minutes("reverse", attempt),
    params:
        device=run.config["device"],
        code=code_of("train_reverse", made="reverse" in TRAINED["mpd"]),
        settings=training_settings("reverse"),
        checkpoint=checkpoint("reverse"),
    script:
        "../workflow_scripts/train_reverse.py"


rule model_card:
    input:
        model_parts(*PARTS, *run.training.encoder_parts),
    output:
        f"<results>/models/{NAME}/{CARD}",
    log:
        "<logs>/model_card.log",
    benchmark:
        "<benchmarks>/model_card/all.tsv"
    priority: 5
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        code=code_of("model_card"),
        start=TRAINING["start"],
    script:
        "../workflow_scripts/model_card.py"


localrules:
    model_card,
