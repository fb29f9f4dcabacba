# Figures: every one as SVG, PDF and PNG.


rule rate_figures:
    input:
        rd="<results>/tables/rd.csv",
        bd_rate="<results>/tables/bd_rate.csv",
        timing="<results>/tables/timing.csv",
    output:
        rd=figure_files("rd_{dataset}"),
        time=figure_files("rate_time_{dataset}"),
        bd=[f for a in run.config["anchors"] for f in figure_files("bd_" + a + "_{dataset}")],
    params:
        metrics=metrics_available(),
        anchors=run.config["anchors"],
    log:
        "<logs>/rate_figures/{dataset}.log",
    benchmark:
        "<benchmarks>/rate_figures/{dataset}.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
    conda:
        "../envs/core.yaml"
    script:
        "../workflow_scripts/rate_figures.py"


rule visual_comparison:
    input:
        unpack(visual_inputs),
    output:
        figure_files("visual_{number}"),
    params:
        item=lambda wc: run.config["visual"][int(wc.number)],
        settings=lambda wc: {n: coding_settings(run.config, n) for n in run.families},
    log:
        "<logs>/visual_comparison/{number}.log",
    benchmark:
        "<benchmarks>/visual_comparison/{number}.tsv"
    wildcard_constraints:
        number=r"\d+",
    resources:
        mem_mb=2000,
        runtime=30,
    conda:
        "../envs/core.yaml"
    script:
        "../workflow_scripts/visual_comparison.py"


rule contact_sheet:
    input:
        manifest="<results>/datasets/{dataset}/manifest.csv",
        images=lambda wc: shard_files("datasets/{dataset}/images/{shard}", dataset=wc.dataset),
    output:
        "<results>/figures/contact_{dataset}.png",
    params:
        shards=len(SHARDS),
        split=run.config["split"],
        annotated=lambda wc: wc.dataset in ANNOTATED,
    log:
        "<logs>/contact_sheet/{dataset}.log",
    benchmark:
        "<benchmarks>/contact_sheet/{dataset}.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
    conda:
        "../envs/core.yaml"
    script:
        "../workflow_scripts/contact_sheet.py"
