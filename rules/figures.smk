# Figures: every one as SVG, PDF and PNG.


# Every entry of the catalogue that names a function (`draw`). Data sets that an anchor does not code
# have other figures, and so a rule of their own.
for number, (datasets, drawn) in enumerate(plan.drawn_by_set()):

    rule rate_figures:
        name:
            "rate_figures" + f"_{number}" * (number > 0)
        input:
            **published_inputs(),
            rd="<results>/tables/rd.csv",
            bd_rate="<results>/tables/bd_rate.csv",
            timing="<results>/tables/timing.csv",
        output:
            figures=[file for name in drawn for file in figure_files(name)],
        log:
            "<logs>/rate_figures/{dataset}.log",
        benchmark:
            "<benchmarks>/rate_figures/{dataset}.tsv"
        wildcard_constraints:
            dataset="|".join(datasets),
        conda:
            "../envs/reporting.yaml"
        params:
            code=code_of("rate_figures"),
            metrics=plan.metrics,
            names=curve_names(run),
            drawn=drawn,
        script:
            "../workflow_scripts/rate_figures.py"


# One job for all: decoding a dozen images takes less time than starting another process.
rule visual_comparison:
    input:
        **place_inputs("visual", {**PLACES, "measurements": MEASUREMENTS}, list(run.codecs)),
    output:
        figures=plan.files_of("visual_comparison", "figure"),
        viewers=plan.files_of("visual_comparison", "data"),
    log:
        "<logs>/visual_comparison.log",
    benchmark:
        "<benchmarks>/visual_comparison/all.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        gpu=demand.gpus(*run.codecs),
        mem_mb=lambda wc, input, attempt: attempt
        * demand.coding_mb(input.models, place_sets("visual"), run.codecs),
    params:
        code=code_of("visual_comparison"),
        places=plan.places("visual", {**PLACES, "measurements": MEASUREMENTS}, list(run.codecs)),
        settings={name: coding_settings(run.config, name) for name in run.codecs},
    script:
        "../workflow_scripts/visual_comparison.py"


rule contact_sheet:
    input:
        manifest="<results>/datasets/{dataset}/manifest.csv",
        images=lambda wc: shard_files(IMAGES, dataset=wc.dataset),
    output:
        figure="<results>/figures/contact_{dataset}.png",
    log:
        "<logs>/contact_sheet/{dataset}.log",
    benchmark:
        "<benchmarks>/contact_sheet/{dataset}.tsv"
    conda:
        "../envs/core.yaml"
    params:
        code=code_of("contact_sheet"),
        shards=len(plan.shards),
        split=run.config["split"],
        annotated=lambda wc: run.datasets[wc.dataset].annotated,
    script:
        "../workflow_scripts/contact_sheet.py"
