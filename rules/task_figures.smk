# Figures of the tasks. Accuracy against rate is part of a run. The others are not, minutes each:
# `snakemake --cores all all task_pictures feature_gap`. Included where the configuration has tasks.


# One job for all: they are read off one table, which costs less than starting another process.
rule task_figures:
    input:
        tasks="<results>/tables/tasks.csv",
    output:
        [file for name in TASK_FIGURES for file in figure_files(name)],
    log:
        "<logs>/task_figures.log",
    benchmark:
        "<benchmarks>/task_figures/all.tsv"
    conda:
        "../envs/reporting.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code_of("task_figures"),
        figures=TASK_FIGURES,
        names=CURVE_NAMES,
    script:
        "../workflow_scripts/task_figures.py"


if TASK_PICTURES:

    # One job for all images, as for the visual comparisons.
    rule task_pictures:
        input:
            **task_picture_inputs(),
        output:
            [file for name in TASK_PICTURES for file in figure_files(name)],
        log:
            "<logs>/task_pictures.log",
        benchmark:
            "<benchmarks>/task_pictures/all.tsv"
        conda:
            "../envs/tasks.yaml"
        threads: 1
        resources:
            gpu=gpus(*run.codecs),
            mem_mb=lambda wc, input, attempt: attempt
            * coding_mb(input.models, sets_of(run.config["task_pictures"]), run.codecs, least=4000),
            runtime=lambda wc, attempt: 60 * attempt,
        params:
            code=code_of("task_pictures"),
            pictures=run.config["task_pictures"],
            names=TASK_PICTURES,
            shards=len(SHARDS),
            settings={name: coding_settings(run.config, name) for name in run.codecs},
            tasks={name: task_entry(run.config, name) for name in run.tasks},
        script:
            "../workflow_scripts/task_pictures.py"


if GAP_FIGURES:

    # Decoded pictures are temporary: asked for after a run that did not keep them, this decodes and
    # measures again; together with the run (as above) it does not.
    rule feature_gap_shard:
        input:
            records="<results>/datasets/{dataset}/shards/{shard}.csv",
            images="<results>/datasets/{dataset}/images/{shard}",
            pictures="<results>/reconstructions/{dataset}/{codec}/{shard}.zip",
            decoded="<results>/decoded/{dataset}/{codec}/{shard}.csv",
            truth=truth_files("{dataset}"),
            weights=lambda wc: task_files([wc.task]),
        output:
            "<results>/feature_gap/{dataset}/{task}/{codec}/{shard}.parquet",
        log:
            "<logs>/feature_gap_shard/{dataset}.{task}.{codec}.{shard}.log",
        benchmark:
            "<benchmarks>/feature_gap_shard/{dataset}.{task}.{codec}.{shard}.tsv"
        priority: 100
        conda:
            "../envs/tasks.yaml"
        threads: 1
        resources:
            gpu=lambda wc: task_gpus([wc.task]),
            mem_mb=lambda wc, input, attempt: attempt
            * network_mb(input.weights, largest_image(wc.dataset), least=4000),
            runtime=lambda wc, attempt: 240 * attempt,
            disk_mb=lambda wc: pictures_mb(wc.dataset, wc.codec, wc.shard),
        params:
            code=code_of("feature_gap", metrics=()),
            entry=lambda wc: task_entry(run.config, wc.task),
            device=run.config["device"],
            split=run.config["split"],
        script:
            "../workflow_scripts/feature_gap.py"

    rule feature_gap:
        input:
            gaps=[
                file
                for dataset, task in GAP_FIGURES.values()
                for file in shard_files(
                    "<results>/feature_gap/{dataset}/{task}/{codec}/{shard}.parquet",
                    dataset=dataset,
                    task=task,
                    codec=run.codecs,
                )
            ],
            measurements=measurements(
                datasets=sorted({dataset for dataset, _ in GAP_FIGURES.values()})
            ),
        output:
            table="<results>/tables/feature_gap.csv",
            figures=[file for name in GAP_FIGURES for file in figure_files(name)],
        log:
            "<logs>/feature_gap.log",
        benchmark:
            "<benchmarks>/feature_gap/all.tsv"
        conda:
            "../envs/tasks.yaml"
        threads: 1
        resources:
            mem_mb=lambda wc, attempt: 2000 * attempt,
            runtime=lambda wc, attempt: 30 * attempt,
        params:
            code=code_of("feature_gap"),
            figures=GAP_FIGURES,
            tasks={name: task_entry(run.config, name) for name in run.tasks},
            bootstrap=run.config["bootstrap"],
            comparison=run.config["comparison"],
        script:
            "../workflow_scripts/feature_gap.py"
