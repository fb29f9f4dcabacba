# Training of Diff-ICMH's model: prior, tagger, codec and control network in two stages, and other
# trainings of the latter as variants. A part with 0 steps is a copy of the bundled file.

if plan.makes_diff_icmh:

    from icmbench.codecs.diff_icmh import model_folder as icmh

    ICMH_MODEL = f"<results>/models/{icmh.NAME}"
    VARIANTS = plan.variants[1:]

    rule train_prior:
        input:
            **parts.icmh_inputs("prior"),
        output:
            **parts.icmh_outputs("prior"),
        log:
            "<logs>/train_prior.log",
        benchmark:
            "<benchmarks>/train_prior/all.tsv"
        priority: 6
        conda:
            "../envs/core.yaml"
        resources:
            gpu=demand.network_gpus * parts.trains_prior,
            mem_mb=lambda wc, input, attempt: attempt * parts.prior_mb(input),
            runtime=lambda wc, attempt: parts.minutes("prior") * attempt,
        params:
            device=run.config["device"],
            code=code_of("train_prior", made=parts.trained("prior")),
            settings=parts.icmh_settings("prior"),
            checkpoint=parts.checkpoint("prior"),
        script:
            "../workflow_scripts/train_prior.py"

    if parts.tags_images:

        # An imported prior brings RAM++: it tags every training image once.
        rule training_tags:
            input:
                records="<results>/training/pool/{source}/records.csv",
                images="<results>/training/pool/{source}/images",
                tagger=f"{ICMH_MODEL}/tagger.safetensors",
            output:
                tags="<results>/training/tags/{source}/{shard}.csv",
            log:
                "<logs>/training_tags/{source}.{shard}.log",
            benchmark:
                "<benchmarks>/training_tags/{source}.{shard}.tsv"
            priority: 6
            conda:
                "../envs/core.yaml"
            resources:
                gpu=demand.network_gpus,
                mem_mb=lambda wc, input, attempt: attempt * network_mb([input.tagger]),
                runtime=lambda wc, attempt: 480 * attempt,
            params:
                device=run.config["device"],
                code=code_of("training_tags"),
                shards=len(plan.shards),
            script:
                "../workflow_scripts/training_tags.py"

    else:

        rule train_tagger:
            input:
                **parts.icmh_inputs("tagger"),
                prior=f"{ICMH_MODEL}/prior.safetensors",
            output:
                **parts.icmh_outputs("tagger"),
            log:
                "<logs>/train_tagger.log",
            benchmark:
                "<benchmarks>/train_tagger/all.tsv"
            priority: 6
            conda:
                "../envs/core.yaml"
            resources:
                gpu=demand.network_gpus * parts.trained("tagger"),
                mem_mb=lambda wc, input, attempt: attempt * training_mb(input, TRAINING["cache_mb"]),
                runtime=lambda wc, attempt: parts.minutes("tagger") * attempt,
            params:
                device=run.config["device"],
                code=code_of("train_tagger", made=parts.trained("tagger")),
                settings=parts.icmh_settings("tagger"),
                checkpoint=parts.checkpoint("tagger"),
            script:
                "../workflow_scripts/train_tagger.py"

    rule train_stage_1:
        input:
            **parts.stage_inputs("stage_1", "{variant}"),
        output:
            **parts.stage_outputs("stage_1", "{variant}"),
        log:
            "<logs>/train_stage_1/{variant}.log",
        benchmark:
            "<benchmarks>/train_stage_1/{variant}.tsv"
        wildcard_constraints:
            variant="|".join(plan.variants),
        priority: 6
        conda:
            "../envs/training.yaml"  # whatever the number of processes: another environment trains again
        resources:
            gpu=demand.network_gpus * parts.processes * parts.trained("stage_1"),
            mem_mb=lambda wc, input, attempt: attempt * parts.stage_mb(input),
            runtime=lambda wc, attempt: parts.minutes("stage_1") * attempt,
        params:
            device=run.config["device"],
            code=code_of("train_stage", made=parts.trained("stage_1")),
            settings=lambda wc: parts.icmh_settings("stage_1", wc.variant),
            checkpoint=parts.checkpoint("stage_1-{variant}"),
            stage=1,
        script:
            "../workflow_scripts/train_stage.py"

    rule train_stage_2:
        input:
            **parts.stage_inputs("stage_2", "main"),
        output:
            **parts.stage_outputs("stage_2", "main"),
        log:
            "<logs>/train_stage_2/main.log",
        benchmark:
            "<benchmarks>/train_stage_2/main.tsv"
        priority: 6
        conda:
            "../envs/training.yaml"  # whatever the number of processes: another environment trains again
        resources:
            gpu=demand.network_gpus * parts.processes * parts.trained("stage_2"),
            mem_mb=lambda wc, input, attempt: attempt * parts.stage_mb(input),
            runtime=lambda wc, attempt: parts.minutes("stage_2") * attempt,
        params:
            device=run.config["device"],
            code=code_of("train_stage", made=parts.trained("stage_2")),
            settings=parts.icmh_settings("stage_2", "main"),
            checkpoint=parts.checkpoint("stage_2-main"),
            stage=2,
        script:
            "../workflow_scripts/train_stage.py"

    if VARIANTS:

        use rule train_stage_2 as train_stage_2_variant with:
            input:
                **parts.stage_inputs("stage_2", "{variant}"),
            output:
                **parts.stage_outputs("stage_2", "{variant}"),
            log:
                "<logs>/train_stage_2/{variant}.log",
            benchmark:
                "<benchmarks>/train_stage_2/{variant}.tsv"
            wildcard_constraints:
                variant="|".join(VARIANTS),
            params:
                device=run.config["device"],
                code=code_of("train_stage", made=parts.trained("stage_2")),
                settings=lambda wc: parts.icmh_settings("stage_2", wc.variant),
                checkpoint=parts.checkpoint("stage_2-{variant}"),
                stage=2,

    SHARED, COPIES = parts.shared_files()
    if COPIES:

        # Files that the model folder and those of its variants share.
        rule icmh_shared:
            input:
                parts=SHARED,
            output:
                copies=COPIES,
            log:
                "<logs>/icmh_shared.log",
            benchmark:
                "<benchmarks>/icmh_shared/all.tsv"
            localrule: True
            conda:
                "../envs/core.yaml"
            params:
                code=code_of("icmh_shared"),
            script:
                "../workflow_scripts/icmh_shared.py"

    rule icmh_card:
        input:
            weights=parts.icmh_weights,
            conditions=parts.all_conditions("diff_icmh"),
        output:
            card=f"{ICMH_MODEL}/{CARD}",
        log:
            "<logs>/icmh_card.log",
        benchmark:
            "<benchmarks>/icmh_card/all.tsv"
        localrule: True
        conda:
            "../envs/core.yaml"
        params:
            code=code_of("icmh_card"),
            start=TRAINING["start"],
        script:
            "../workflow_scripts/icmh_card.py"
