# Published points that agree with this run (`published`), and BD-rates against their curves.

from icmbench.config.published import published_images

if plan.published:

    rule published_tables:
        input:
            rd="<results>/tables/rd.csv",
            tasks=["<results>/tables/tasks.csv"] if run.tasks else [],
        output:
            table="<results>/tables/published.csv",
            bd_rate="<results>/tables/published_bd_rate.csv",
        log:
            "<logs>/published_tables.log",
        benchmark:
            "<benchmarks>/published_tables/all.tsv"
        conda:
            "../envs/reporting.yaml"
        params:
            code=code_of("published_tables"),
            rows=plan.published,
            images=published_images(plan),
            comparison=run.config["comparison"],
        script:
            "../workflow_scripts/published_tables.py"
