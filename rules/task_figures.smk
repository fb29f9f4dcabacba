# Figures of the tasks. Accuracy against rate is part of a run; these are not and take minutes each:
# `snakemake --cores all all task_pictures feature_gap`.

if run.tasks:

    TASK_FIGURES = {
        one.name: (one.entry.name.partition("_{")[0], one.values["dataset"], one.values["task"])
        for one in plan.made("figure", rule="task_figures")
    }
    GAP_FIGURES = plan.drawn("feature_gap", "dataset", "task")
    PREDICTIONS = "<results>/predictions/{dataset}/{codec}/{shard}"

    # One job for all: drawing from one table takes less time than starting another process.
    rule task_figures:
        input:
            **published_inputs(),
            tasks="<results>/tables/tasks.csv",
        output:
            figures=plan.files_of("task_figures", "figure"),
        log:
            "<logs>/task_figures.log",
        benchmark:
            "<benchmarks>/task_figures/all.tsv"
        conda:
            "../envs/reporting.yaml"
        params:
            code=code_of("task_figures"),
            adapted=plan.adapted,
            drawn=TASK_FIGURES,
            names=curve_names(run),
        script:
            "../workflow_scripts/task_figures.py"

    if run.config["task_pictures"]:

        # One job for all images, as for the visual comparisons.
        rule task_pictures:
            input:
                **place_inputs(
                    "task_pictures", {**PLACES, "measurements": MEASUREMENTS}, list(run.codecs)
                ),
                **plan.image_files(
                    run.config["task_pictures"],
                    {"predictions": PREDICTIONS},
                    PREDICTED,
                ),
                truth=expand(TRUTH, dataset=place_sets("task_pictures")),
            output:
                figures=plan.files_of("task_pictures", "figure"),
            log:
                "<logs>/task_pictures.log",
            benchmark:
                "<benchmarks>/task_pictures/all.tsv"
            conda:
                "../envs/tasks.yaml"
            resources:
                gpu=demand.gpus(*run.codecs),
                mem_mb=lambda wc, input, attempt: attempt
                * demand.coding_mb(
                    input.models, place_sets("task_pictures"), run.codecs, at_least=4000
                ),
            params:
                code=code_of("task_pictures"),
                places=plan.places(
                    "task_pictures",
                    {
                        **PLACES,
                        "measurements": MEASUREMENTS,
                        "truth": "<results>/datasets/{dataset}",
                    },
                    list(run.codecs),
                ),
                predicted=plan.places(
                    "task_pictures", {"predictions": f"{PREDICTIONS}/{{task}}.zip"}, PREDICTED
                ),
                settings={name: coding_settings(run.config, name) for name in run.codecs},
                tasks={name: task_entry(run.config, name) for name in run.tasks},
            script:
                "../workflow_scripts/task_pictures.py"

    if GAP_FIGURES:

        # Reconstructions are temporary: requested after a run that did not keep them, this decodes
        # and measures again; requested together with the run it does not.
        rule feature_gap_shard:
            input:
                records=RECORDS,
                images=IMAGES,
                pictures="<results>/reconstructions/{dataset}/{codec}/{shard}.zip",
                decoded="<results>/decoded/{dataset}/{codec}/{shard}.csv",
                truth=TRUTH,
                weights=lambda wc: plan.task_files(wc.task),
            output:
                gaps="<results>/feature_gap/{dataset}/{task}/{codec}/{shard}.parquet",
            log:
                "<logs>/feature_gap_shard/{dataset}.{task}.{codec}.{shard}.log",
            benchmark:
                "<benchmarks>/feature_gap_shard/{dataset}.{task}.{codec}.{shard}.tsv"
            priority: 100
            conda:
                "../envs/tasks.yaml"
            resources:
                gpu=lambda wc: demand.task_gpus([wc.task]),
                mem_mb=lambda wc, input, attempt: attempt
                * network_mb(input.weights, demand.largest_image(wc.dataset), at_least=4000),
                runtime=lambda wc, attempt: 240 * attempt,
                disk_mb=reconstructions_mb,
            params:
                code=code_of("feature_gap_shard", metrics=()),
                entry=lambda wc: task_entry(run.config, wc.task),
                device=run.config["device"],
                split=run.config["split"],
            script:
                "../workflow_scripts/feature_gap_shard.py"

        rule feature_gap:
            input:
                gaps=[
                    file
                    for dataset, task in GAP_FIGURES.values()
                    for file in unit_files(
                        "<results>/feature_gap/{dataset}/{task}/{codec}/{shard}.parquet",
                        [dataset],
                        task=task,
                    )
                ],
                measurements=measurements(
                    datasets=sorted({dataset for dataset, _ in GAP_FIGURES.values()})
                ),
            output:
                table="<results>/tables/feature_gap.csv",
                figures=plan.files_of("feature_gap", "figure"),
            log:
                "<logs>/feature_gap.log",
            benchmark:
                "<benchmarks>/feature_gap/all.tsv"
            conda:
                "../envs/tasks.yaml"
            params:
                code=code_of("feature_gap"),
                drawn=GAP_FIGURES,
                tasks={name: task_entry(run.config, name) for name in run.tasks},
                bootstrap=run.config["bootstrap"],
                comparison=run.config["comparison"],
            script:
                "../workflow_scripts/feature_gap.py"
