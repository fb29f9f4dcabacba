# Task models on the reconstructions.

if run.tasks:

    from icmbench.config.tasks import task_downloads, task_entry, task_parts
    from icmbench.tasks.training.settings import scene_sets
    from icmbench.tasks.bundled import FOLDER as TASK_FOLDER
    from icmbench.tasks.bundled import PARTS as BUNDLED_TASKS
    from icmbench.tasks.bundled import bundled_file
    from icmbench.tasks.base import ORIGINALS
    from icmbench.tasks.latents import LATENT_HEAD

    TASK_DOWNLOADS = task_downloads(run.config)
    # What the models predict on: the originals, and the reconstructions of every codec entry.
    PREDICTED = [ORIGINALS, *run.codecs]

    # The annotations of a data set.
    TRUTH = [
        "<results>/datasets/{dataset}/instances.json",
        "<results>/datasets/{dataset}/landmarks.json",
        "<results>/datasets/{dataset}/classes.json",
        "<results>/datasets/{dataset}/semantic.json",
        "<results>/datasets/{dataset}/more.json",
    ]

    # One job predicts with the models of all tasks of the data set: loading libraries and models
    # takes as long as the predictions on some hundred small images.
    rule predict:
        input:
            pictures="<results>/reconstructions/{dataset}/{codec}/{shard}.zip",
            decoded="<results>/decoded/{dataset}/{codec}/{shard}.csv",
            truth=TRUTH,
            weights=lambda wc: plan.task_files(*plan.tasks_of(wc.dataset)),
        output:
            predictions=directory("<results>/predictions/{dataset}/{codec}/{shard}"),
        log:
            "<logs>/predict/{dataset}.{codec}.{shard}.log",
        benchmark:
            "<benchmarks>/predict/{dataset}.{codec}.{shard}.tsv"
        # Reconstructions are temporary: prediction goes before further decoding.
        priority: 100
        conda:
            "../envs/tasks.yaml"
        resources:
            gpu=lambda wc: demand.task_gpus(plan.tasks_of(wc.dataset)),
            mem_mb=lambda wc, input, attempt: attempt
            * network_mb(input.weights, demand.largest_image(wc.dataset), at_least=4000),
            runtime=lambda wc, attempt: 240 * attempt,
            disk_mb=reconstructions_mb,
        params:
            code=code_of("predict"),
            entries=lambda wc: plan.task_entries(wc.dataset),
            device=run.config["device"],
        script:
            "../workflow_scripts/predict.py"

    # Predictions on the originals: the ceiling of every curve.
    rule predict_originals:
        input:
            records=RECORDS,
            images=IMAGES,
            truth=TRUTH,
            weights=lambda wc: plan.task_files(*plan.tasks_of(wc.dataset)),
        output:
            predictions=directory(f"<results>/predictions/{{dataset}}/{ORIGINALS}/{{shard}}"),
        log:
            "<logs>/predict_originals/{dataset}.{shard}.log",
        benchmark:
            "<benchmarks>/predict_originals/{dataset}.{shard}.tsv"
        conda:
            "../envs/tasks.yaml"
        resources:
            gpu=lambda wc: demand.task_gpus(plan.tasks_of(wc.dataset)),
            mem_mb=lambda wc, input, attempt: attempt
            * network_mb(input.weights, demand.largest_image(wc.dataset), at_least=4000),
            runtime=lambda wc, attempt: 240 * attempt,
        params:
            code=code_of("predict_originals", codecs=()),
            entries=lambda wc: plan.task_entries(wc.dataset),
            device=run.config["device"],
            split=run.config["split"],
        script:
            "../workflow_scripts/predict_originals.py"

    rule task_scores:
        input:
            measurements=lambda wc: measurements(
                [wc.dataset], plan.predicted_codecs(wc.task, wc.dataset)
            ),
            predictions=lambda wc: plan.predictions(wc.task, wc.dataset),
            truth=TRUTH,
        output:
            scores="<results>/scores/{dataset}.{task}.csv",
            bd_rate="<results>/scores/{dataset}.{task}.bd_rate.csv",
            paired="<results>/scores/{dataset}.{task}.paired.csv",
            failures="<results>/scores/{dataset}.{task}.failures.csv",
            needed="<results>/scores/{dataset}.{task}.rates.csv",
        log:
            "<logs>/task_scores/{dataset}.{task}.log",
        benchmark:
            "<benchmarks>/task_scores/{dataset}.{task}.tsv"
        conda:
            "../envs/tasks.yaml"
        resources:
            mem_mb=lambda wc, attempt: 4000 * attempt,
            runtime=lambda wc, attempt: 120 * attempt,
        params:
            code=code_of("task_scores"),
            entry=lambda wc: task_entry(run.config, wc.task),
            predicted=lambda wc: [ORIGINALS, *plan.predicted_codecs(wc.task, wc.dataset)],
            anchors=run.config["anchors"],
            rates=run.config["rates"],
            shares=run.config["accuracies"],
            bootstrap=run.config["bootstrap"],
            comparison=run.config["comparison"],
        script:
            "../workflow_scripts/task_scores.py"

    rule tasks_tables:
        input:
            scores=[f"<results>/scores/{dataset}.{task}.csv" for dataset, task in plan.pairs],
            score_bd_rates=[
                f"<results>/scores/{dataset}.{task}.bd_rate.csv" for dataset, task in plan.pairs
            ],
            score_failures=[
                f"<results>/scores/{dataset}.{task}.failures.csv" for dataset, task in plan.pairs
            ],
            score_rates=[
                f"<results>/scores/{dataset}.{task}.rates.csv" for dataset, task in plan.pairs
            ],
        output:
            tasks="<results>/tables/tasks.csv",
            bd_rate="<results>/tables/tasks_bd_rate.csv",
            failures="<results>/tables/task_failures.csv",
            rates="<results>/tables/task_rates.csv",
        log:
            "<logs>/tasks_tables.log",
        benchmark:
            "<benchmarks>/tasks_tables/all.tsv"
        localrule: True
        conda:
            "../envs/reporting.yaml"
        params:
            code=code_of("tasks_tables"),
        script:
            "../workflow_scripts/tasks_tables.py"

    TRAINED_TASKS = [part for part in run.training.trained["tasks"] if part != LATENT_HEAD]
    if TRAINED_TASKS:

        rule train_task:
            input:
                bundled=lambda wc: [str(bundled_file(wc.part))] * (TRAINING["start"] == "bundled"),
                records=expand(
                    "<results>/training/pool/{source}/records.csv", source=scene_sets(TRAINING)
                ),
                images=expand(
                    "<results>/training/pool/{source}/images", source=scene_sets(TRAINING)
                ),
            output:
                weights=[f"<results>/models/{TASK_FOLDER}/{{part}}.safetensors"],
                history="<results>/training/{part}.csv",
                conditions="<results>/training/conditions/{part}.json",
            log:
                "<logs>/train_task/{part}.log",
            benchmark:
                "<benchmarks>/train_task/{part}.tsv"
            wildcard_constraints:
                part="|".join(TRAINED_TASKS),
            priority: 8
            conda:
                "../envs/tasks.yaml"
            resources:
                gpu=demand.network_gpus,
                mem_mb=lambda wc, input, attempt: attempt * training_mb(input, TRAINING["cache_mb"]),
                runtime=lambda wc, attempt: 1440 * attempt,
            params:
                device=run.config["device"],
                code=code_of("train_task"),
                settings=lambda wc: run.training.settings("tasks", wc.part),
                checkpoint=f"{run.config['results']}/training/checkpoints/{{part}}.pt",
            script:
                "../workflow_scripts/train_task.py"

        rule task_card:
            input:
                weights=expand(
                    f"<results>/models/{TASK_FOLDER}/{{part}}.safetensors",
                    part=sorted({*task_parts(run.config)} - {LATENT_HEAD}),
                ),
                conditions=expand("<results>/training/conditions/{part}.json", part=TRAINED_TASKS),
            output:
                card=f"<results>/models/{TASK_FOLDER}/card.json",
            log:
                "<logs>/task_card.log",
            benchmark:
                "<benchmarks>/task_card/all.tsv"
            localrule: True
            conda:
                "../envs/tasks.yaml"
            params:
                code=code_of("task_card"),
                start=TRAINING["start"],
            script:
                "../workflow_scripts/task_card.py"

    if TASK_DOWNLOADS:

        # Downloaded once, resumed after an interruption, kept by `make clean`.
        rule task_weights:
            output:
                weights=f"{run.config['downloads']}/weights/{{digest}}/{{file}}",
            log:
                "<logs>/task_weights/{digest}.{file}.log",
            benchmark:
                "<benchmarks>/task_weights/{digest}.{file}.tsv"
            wildcard_constraints:
                digest="[0-9a-f]{16}",
                file="[^/]+",
            priority: 8
            localrule: True
            conda:
                "../envs/core.yaml"
            resources:
                runtime=lambda wc, attempt: 240 * attempt,
            params:
                code=code_of("task_weights"),
                source=lambda wc, output: TASK_DOWNLOADS[output[0]],
            script:
                "../workflow_scripts/task_weights.py"

    # A part that is not trained: a copy of the bundled file.
    rule bundled_task:
        input:
            bundled=lambda wc: [str(bundled_file(wc.part))],
        output:
            weights=[f"<results>/models/{TASK_FOLDER}/{{part}}.safetensors"],
        log:
            "<logs>/bundled_task/{part}.log",
        benchmark:
            "<benchmarks>/bundled_task/{part}.tsv"
        wildcard_constraints:
            part="|".join(sorted({*BUNDLED_TASKS.values()} - {*TRAINED_TASKS})) or "none",
        priority: 8
        localrule: True
        conda:
            "../envs/tasks.yaml"
        params:
            code=code_of("train_task", made=False),
            settings={},
        script:
            "../workflow_scripts/train_task.py"
