# Comparisons of one codec's own variants: without an ingredient, or at several feature weights.


if run.config["ablation"]["full"]:
    ABLATION = run.config["ablation"]

    rule ablation:
        input:
            measurements=measurements(codecs=[ABLATION["full"], *ABLATION["without"].values()]),
        output:
            table="<results>/tables/ablation.csv",
            figures=plan.files_of("ablation", "figure"),
        log:
            "<logs>/ablation.log",
        benchmark:
            "<benchmarks>/ablation/all.tsv"
        conda:
            "../envs/reporting.yaml"
        params:
            code=code_of("ablation"),
            full=ABLATION["full"],
            without=ABLATION["without"],
            rates=ABLATION["bpp"],
            metrics=plan.metrics,
            bootstrap=run.config["bootstrap"],
            comparison=run.config["comparison"],
            drawn=plan.drawn("ablation", "dataset", "bpp"),
        script:
            "../workflow_scripts/ablation.py"


if plan.sweeps:

    rule alpha_sweep:
        input:
            bd_rate="<results>/tables/bd_rate.csv",
        output:
            table="<results>/tables/alpha_sweep_{guide}.csv",
            figures=[
                file
                for name in plan.sets_of(plan.sweep_anchor)
                for file in figure_files(f"alpha_sweep_{{guide}}_{name}")
            ],
        log:
            "<logs>/alpha_sweep/{guide}.log",
        benchmark:
            "<benchmarks>/alpha_sweep/{guide}.tsv"
        wildcard_constraints:
            guide="|".join(plan.sweeps),
        conda:
            "../envs/reporting.yaml"
        params:
            code=code_of("alpha_sweep"),
            weights=lambda wc: plan.sweeps[wc.guide],
            anchor=plan.sweep_anchor,
            metrics=plan.metrics,
            drawn=lambda wc: {
                f"alpha_sweep_{wc.guide}_{name}": name for name in plan.sets_of(plan.sweep_anchor)
            },
        script:
            "../workflow_scripts/alpha_sweep.py"
