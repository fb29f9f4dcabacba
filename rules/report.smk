# The report: everything above in one page.


rule report:
    input:
        tables=expand(
            "<results>/tables/{name}.csv",
            name=[
                "rd",
                "bd_rate",
                "timing",
                "jobs",
                "revisions",
                "codecs",
                "failures",
                *OPTIONAL_TABLES,
            ],
        ),
        comparison="<results>/tables/comparison.json",
        provenance="<results>/provenance.json",
        manifests=expand("<results>/datasets/{dataset}/manifest.csv", dataset=run.datasets),
        annotations=expand("<results>/datasets/{dataset}/instances.json", dataset=ANNOTATED),
        figures=all_figures(),
    output:
        "<results>/report.html",
    log:
        "<logs>/report.log",
    benchmark:
        "<benchmarks>/report/all.tsv"
    conda:
        "../envs/reporting.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code_of("report"),
        config=run.config,
    script:
        "../workflow_scripts/report.py"
