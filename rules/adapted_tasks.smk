# Task models that are adapted to a codec: fine-tuned on its reconstructions of training scenes.

if run.tasks:

    from icmbench.config.adapted import adapted_part, adapted_settings, adapted_tasks
    from icmbench.tasks.adaptation import FOLDER as ADAPTED_FOLDER

    ADAPTED = adapted_tasks(run.config)

    if ADAPTED:

        rule adapt_task:
            input:
                bundled=lambda wc: [
                    f"{run.config['results']}/models/{TASK_FOLDER}/"
                    f"{adapted_part(run.config, wc.task)}.safetensors",
                    *plan.model_files(ADAPTED[wc.task].codec),
                ],
                records=expand(
                    "<results>/training/pool/{source}/records.csv", source=scene_sets(TRAINING)
                ),
                images=expand(
                    "<results>/training/pool/{source}/images", source=scene_sets(TRAINING)
                ),
            output:
                weights=[f"<results>/models/{TASK_FOLDER}/{ADAPTED_FOLDER}/{{task}}.safetensors"],
                history="<results>/training/adapted-{task}.csv",
            log:
                "<logs>/adapt_task/{task}.log",
            benchmark:
                "<benchmarks>/adapt_task/{task}.tsv"
            wildcard_constraints:
                task="|".join(ADAPTED),
            priority: 8
            conda:
                "../envs/tasks.yaml"
            resources:
                gpu=demand.network_gpus,
                mem_mb=lambda wc, input, attempt: attempt * training_mb(input, TRAINING["cache_mb"]),
                runtime=lambda wc, attempt: 1440 * attempt,
            params:
                device=run.config["device"],
                code=code_of("adapt_task", codecs=[each.codec for each in ADAPTED.values()]),
                part=lambda wc: adapted_part(run.config, wc.task),
                settings=lambda wc: adapted_settings(run.config, wc.task, run.codecs),
                checkpoint=f"{run.config['results']}/training/checkpoints/adapted-{{task}}.pt",
            script:
                "../workflow_scripts/adapt_task.py"
