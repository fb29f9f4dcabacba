# Robustness: decoding of damaged streams by every codec that this run codes. Included where the
# configuration sets a number of trials.


# One job per codec for all images: the same trials for every codec, the decoder loaded once.
if plan.damages:

    rule robustness:
        input:
            records=lambda wc: shard_files(RECORDS, dataset=wc.dataset),
            images=lambda wc: shard_files(IMAGES, dataset=wc.dataset),
            streams=lambda wc: shard_files(STREAMS, dataset=wc.dataset, codec=wc.codec),
            model=lambda wc: plan.model_files(wc.codec),
        output:
            trials="<results>/robustness/{dataset}/{codec}.parquet",
        log:
            "<logs>/robustness/{dataset}.{codec}.log",
        benchmark:
            "<benchmarks>/robustness/{dataset}.{codec}.tsv"
        conda:
            "../envs/core.yaml"
        resources:
            # A damaged header may declare a very large image.
            gpu=lambda wc: demand.gpus(wc.codec),
            mem_mb=lambda wc, input, attempt: attempt
            * demand.coding_mb(input.model, [wc.dataset], [wc.codec], at_least=4000),
            runtime=lambda wc, attempt: 120 * attempt,
        params:
            code=code_of("robustness"),
            settings=lambda wc: plan.settings_on(wc.dataset, wc.codec),
            robustness=run.config["robustness"],
            split=run.config["split"],
        script:
            "../workflow_scripts/robustness.py"

    rule robustness_table:
        input:
            # Results of `icmbench verify`: optional; a new one makes the table again.
            verifications=lambda wc: sorted(
                map(str, Path(run.config["results"]).glob("verification/*.csv"))
            ),
            trials=[
                f"<results>/robustness/{dataset}/{codec}.parquet"
                for dataset, codec in plan.units([run.config["robustness"]["dataset"]], plan.coded)
            ],
        output:
            table="<results>/tables/robustness.csv",
            figures=figure_files("robustness"),
        log:
            "<logs>/robustness_table.log",
        benchmark:
            "<benchmarks>/robustness_table/all.tsv"
        conda:
            "../envs/reporting.yaml"
        params:
            code=code_of("robustness_table"),
            dataset=run.config["robustness"]["dataset"],
        script:
            "../workflow_scripts/robustness_table.py"
