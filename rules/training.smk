# Training of a run's own model.
# A part with 0 steps or images is a copy of the bundled file.

if plan.makes_models:

    from icmbench.config.parts import Parts
    from icmbench.codecs.mpd.model_folder import NAME, PARTS, level_names
    from icmbench.models.layout import CARD

    parts = Parts(plan)

    rule train_autoencoder:
        input:
            **parts.mpd_inputs("autoencoder"),
        output:
            **parts.mpd_outputs("autoencoder"),
        log:
            "<logs>/train_autoencoder.log",
        benchmark:
            "<benchmarks>/train_autoencoder/all.tsv"
        priority: 5
        conda:
            "../envs/core.yaml"
        resources:
            gpu=demand.network_gpus * parts.trained("autoencoder"),
            mem_mb=lambda wc, input, attempt: attempt * parts.autoencoder_mb(input),
            runtime=lambda wc, attempt: parts.minutes("autoencoder") * attempt,
        params:
            device=run.config["device"],
            code=code_of("train_autoencoder", made=parts.trained("autoencoder")),
            settings=parts.mpd_settings("autoencoder"),
            checkpoint=parts.checkpoint("autoencoder"),
        script:
            "../workflow_scripts/train_autoencoder.py"

    rule train_contexts:
        input:
            **parts.mpd_inputs("contexts"),
        output:
            **parts.mpd_outputs("contexts"),
        log:
            "<logs>/train_contexts.log",
        benchmark:
            "<benchmarks>/train_contexts/all.tsv"
        priority: 5
        conda:
            "../envs/core.yaml"
        resources:
            gpu=demand.network_gpus * parts.trained("contexts"),
            mem_mb=lambda wc, input, attempt: attempt * training_mb(input, TRAINING["cache_mb"]),
            runtime=lambda wc, attempt: parts.minutes("contexts") * attempt,
        params:
            device=run.config["device"],
            code=code_of("train_contexts", made=parts.trained("contexts")),
            settings=parts.mpd_settings("contexts"),
        script:
            "../workflow_scripts/train_contexts.py"

    rule train_reverse:
        input:
            **parts.mpd_inputs("reverse"),
        output:
            **parts.mpd_outputs("reverse"),
        log:
            "<logs>/train_reverse.log",
        benchmark:
            "<benchmarks>/train_reverse/all.tsv"
        priority: 5
        conda:
            "../envs/core.yaml"
        resources:
            gpu=demand.network_gpus * parts.trained("reverse"),
            mem_mb=lambda wc, input, attempt: attempt * training_mb(input, TRAINING["cache_mb"]),
            runtime=lambda wc, attempt: parts.minutes("reverse") * attempt,
        params:
            device=run.config["device"],
            code=code_of("train_reverse", made=parts.trained("reverse")),
            settings=parts.mpd_settings("reverse"),
            checkpoint=parts.checkpoint("reverse"),
        script:
            "../workflow_scripts/train_reverse.py"

    rule model_card:
        input:
            weights=parts.weights(*PARTS, *run.training.encoder_parts),
            conditions=parts.all_conditions("mpd"),
        output:
            card=f"<results>/models/{NAME}/{CARD}",
        log:
            "<logs>/model_card.log",
        benchmark:
            "<benchmarks>/model_card/all.tsv"
        priority: 5
        localrule: True
        conda:
            "../envs/core.yaml"
        params:
            code=code_of("model_card"),
            start=TRAINING["start"],
        script:
            "../workflow_scripts/model_card.py"
