# A task on the decoded latent of a codec: its head, its predictions, and what it saves.

if plan.latent_task:

    LATENT_CODECS = run.tasks[plan.latent_task].values["codecs"]
    LATENT_AGAINST = run.tasks[plan.latent_task].values["against"]
    LATENT_SETS = run.config["tasks"][plan.latent_task]["datasets"]
    LATENT_ENTRIES = {
        "task": (plan.latent_task, task_entry(run.config, plan.latent_task)),
        "against": (LATENT_AGAINST, task_entry(run.config, LATENT_AGAINST)),
    }

    if LATENT_HEAD in run.training.trained["tasks"]:

        rule train_latent_head:
            input:
                bundled=plan.model_files(*LATENT_CODECS),
                records=expand(
                    "<results>/training/pool/{source}/records.csv", source=scene_sets(TRAINING)
                ),
                images=expand(
                    "<results>/training/pool/{source}/images", source=scene_sets(TRAINING)
                ),
            output:
                weights=[f"<results>/models/{TASK_FOLDER}/{LATENT_HEAD}.safetensors"],
                history=f"<results>/training/{LATENT_HEAD}.csv",
            log:
                "<logs>/train_latent_head.log",
            benchmark:
                "<benchmarks>/train_latent_head/all.tsv"
            priority: 8
            conda:
                "../envs/tasks.yaml"
            resources:
                gpu=demand.network_gpus,
                mem_mb=lambda wc, input, attempt: attempt * training_mb(input, TRAINING["cache_mb"]),
                runtime=lambda wc, attempt: 1440 * attempt,
            params:
                device=run.config["device"],
                code=code_of("train_latent_head", codecs=LATENT_CODECS),
                settings={
                    **run.training.settings("tasks", LATENT_HEAD),
                    "entries": {name: coding_settings(run.config, name) for name in LATENT_CODECS},
                },
                checkpoint=f"{run.config['results']}/training/checkpoints/{LATENT_HEAD}.pt",
            script:
                "../workflow_scripts/train_latent_head.py"

    rule predict_latents:
        input:
            streams=STREAMS,
            decoded="<results>/decoded/{dataset}/{codec}/{shard}.csv",
            model=lambda wc: plan.model_files(wc.codec),
            truth=TRUTH,
            weights=plan.task_files(plan.latent_task, LATENT_AGAINST),
        output:
            predictions=directory("<results>/latent_predictions/{dataset}/{codec}/{shard}"),
        log:
            "<logs>/predict_latents/{dataset}.{codec}.{shard}.log",
        benchmark:
            "<benchmarks>/predict_latents/{dataset}.{codec}.{shard}.tsv"
        wildcard_constraints:
            codec="|".join(LATENT_CODECS),
        conda:
            "../envs/tasks.yaml"
        resources:
            gpu=demand.network_gpus,
            mem_mb=lambda wc, input, attempt: attempt
            * demand.coding_mb(input.model, [wc.dataset], [wc.codec], at_least=6000),
            runtime=lambda wc, attempt: 240 * attempt,
        params:
            **LATENT_ENTRIES,
            code=code_of("predict_latents"),
            settings=lambda wc: plan.settings_on(wc.dataset, wc.codec),
            device=run.config["device"],
        script:
            "../workflow_scripts/predict_latents.py"

    rule predict_latent_originals:
        input:
            records=RECORDS,
            images=IMAGES,
            model=plan.model_files(LATENT_CODECS[0]),
            truth=TRUTH,
            weights=plan.task_files(plan.latent_task),
        output:
            predictions=directory(f"<results>/latent_predictions/{{dataset}}/{ORIGINALS}/{{shard}}"),
        log:
            "<logs>/predict_latent_originals/{dataset}.{shard}.log",
        benchmark:
            "<benchmarks>/predict_latent_originals/{dataset}.{shard}.tsv"
        conda:
            "../envs/tasks.yaml"
        resources:
            gpu=demand.network_gpus,
            mem_mb=lambda wc, input, attempt: attempt
            * demand.coding_mb(input.model, [wc.dataset], LATENT_CODECS[:1], at_least=6000),
            runtime=lambda wc, attempt: 240 * attempt,
        params:
            code=code_of("predict_latent_originals", codecs=LATENT_CODECS[:1]),
            codec=LATENT_CODECS[0],
            settings=coding_settings(run.config, LATENT_CODECS[0]),
            device=run.config["device"],
            split=run.config["split"],
            task=LATENT_ENTRIES["task"],
        script:
            "../workflow_scripts/predict_latent_originals.py"

    rule latent_tasks:
        input:
            scores=[f"<results>/scores/{name}.{plan.latent_task}.csv" for name in LATENT_SETS],
            scores_against=[f"<results>/scores/{name}.{LATENT_AGAINST}.csv" for name in LATENT_SETS],
            predictions=unit_files(
                "<results>/latent_predictions/{dataset}/{codec}/{shard}",
                LATENT_SETS,
                LATENT_CODECS,
            ),
        output:
            table="<results>/tables/latent_tasks.csv",
        log:
            "<logs>/latent_tasks.log",
        benchmark:
            "<benchmarks>/latent_tasks/all.tsv"
        localrule: True
        conda:
            "../envs/reporting.yaml"
        params:
            code=code_of("latent_tasks", codecs=(), tasks=()),
        script:
            "../workflow_scripts/latent_tasks.py"
