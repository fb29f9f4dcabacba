# Tables: derived from the measurements, and for timing and jobs from the jobs' benchmarks.


rule rd_tables:
    input:
        measurements=measurements(),
        manifests=expand("<results>/datasets/{dataset}/manifest.csv", dataset=run.datasets),
    output:
        rd="<results>/tables/rd.csv",
        bd_rate="<results>/tables/bd_rate.csv",
        failures="<results>/tables/failures.csv",
        remarks="<results>/tables/remarks.csv",
        comparison="<results>/tables/comparison.json",
    log:
        "<logs>/rd_tables.log",
    benchmark:
        "<benchmarks>/rd_tables/all.tsv"
    conda:
        "../envs/reporting.yaml"
    params:
        code=code_of("rd_tables"),
        metrics=plan.metrics,
        anchors=run.config["anchors"],
        bootstrap=run.config["bootstrap"],
        comparison_settings=run.config["comparison"],
        scales={name: rate_scales(entry.points) for name, entry in run.codecs.items()},
        heads=plan.heads,
        datasets=list(run.datasets),
    script:
        "../workflow_scripts/rd_tables.py"


if run.config["anchors"] and run.config["rates"]:

    rule paired_table:
        input:
            measurements=measurements(),
            tasks=[
                f"<results>/scores/{dataset}.{task}.paired.csv"
                for task, entry in run.config["tasks"].items()
                for dataset in entry["datasets"]
            ],
        output:
            table="<results>/tables/paired.csv",
            figures=plan.files_of("paired_table", "figure"),
        log:
            "<logs>/paired_table.log",
        benchmark:
            "<benchmarks>/paired_table/all.tsv"
        conda:
            "../envs/reporting.yaml"
        params:
            code=code_of("paired_table"),
            metrics=plan.metrics,
            anchors=run.config["anchors"],
            rates=run.config["rates"],
            bootstrap=run.config["bootstrap"],
            comparison=run.config["comparison"],
            drawn=plan.drawn("paired", "dataset"),
        script:
            "../workflow_scripts/paired_table.py"


if plan.qualities:

    rule equal_quality:
        input:
            measurements=measurements(),
        output:
            table="<results>/tables/equal_quality.csv",
        log:
            "<logs>/equal_quality.log",
        benchmark:
            "<benchmarks>/equal_quality/all.tsv"
        conda:
            "../envs/reporting.yaml"
        params:
            code=code_of("equal_quality", codecs=()),
            metrics=plan.metrics,
            anchors=run.config["anchors"],
            qualities=plan.qualities,
            bootstrap=run.config["bootstrap"],
            comparison=run.config["comparison"],
        script:
            "../workflow_scripts/equal_quality.py"


if plan.with_seeds:

    rule seeds_table:
        input:
            measurements=measurements(),
        output:
            table="<results>/tables/seeds.csv",
        log:
            "<logs>/seeds_table.log",
        benchmark:
            "<benchmarks>/seeds_table/all.tsv"
        conda:
            "../envs/reporting.yaml"
        params:
            code=code_of("seeds_table", codecs=()),
            metrics=plan.metrics,
            comparison=run.config["comparison"],
        script:
            "../workflow_scripts/seeds_table.py"


rule timing_table:
    input:
        measurements=measurements(),
        parts=unit_files(
            "<results>/timing/{dataset}/{codec}/{shard}.{stage}.csv", stage=["encode", "decode"]
        ),
    output:
        table="<results>/tables/timing.csv",
        costs="<results>/tables/costs.csv",
    log:
        "<logs>/timing_table.log",
    benchmark:
        "<benchmarks>/timing_table/all.tsv"
    conda:
        "../envs/reporting.yaml"
    params:
        code=code_of("timing_table"),
    script:
        "../workflow_scripts/timing_table.py"


rule provenance:
    output:
        provenance="<results>/provenance.json",
        codecs="<results>/tables/codecs.csv",
    log:
        "<logs>/provenance.log",
    benchmark:
        "<benchmarks>/provenance/all.tsv"
    localrule: True
    conda:
        "../envs/tasks.yaml" if run.tasks else "../envs/core.yaml"
    params:
        code=code_of("provenance"),
        config=run.config,
        unavailable=dict(run.unavailable),
        weights=weights_names(run),
        states=plan.states,
    script:
        "../workflow_scripts/provenance.py"


# The inputs are the last artefacts of a run, so that the benchmarks of all other jobs exist.
rule jobs_table:
    input:
        plan.finished("jobs_table", "report", "check_results"),
    output:
        jobs="<results>/tables/jobs.csv",
        revisions="<results>/tables/revisions.csv",
    log:
        "<logs>/jobs_table.log",
    benchmark:
        "<benchmarks>/jobs_table/all.tsv"
    localrule: True
    conda:
        "../envs/reporting.yaml"
    params:
        code=code_of("jobs_table"),
        benchmarks=plan.benchmarks("jobs_table", "report", "check_results"),
    script:
        "../workflow_scripts/jobs_table.py"


# Targets of other configurations: requesting one ends the planning with an error that names the
# missing part of the configuration.
for target, reason in absent_targets(run).items():

    rule:
        name:
            target
        input:
            refusal(reason),
        output:
            expand("<results>/tables/{name}.csv", name=TABLES.get(target, [])),
