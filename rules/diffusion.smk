# Analyses of Diff-ICMH: figures, accounting, complexity. Not part of a run, minutes each:
# `snakemake --cores all diffusion_pictures complexity_table`.


if plan.diff_icmh:

    if run.config["diffusion"]:

        # One job for all images, as for the visual comparisons.
        rule diffusion_pictures:
            input:
                **place_inputs("diffusion", PLACES, plan.diff_icmh[:1]),
            output:
                figures=plan.files_of("diffusion_pictures", "figure"),
                table="<results>/tables/diff_icmh_accounting.csv",
            log:
                "<logs>/diffusion_pictures.log",
            benchmark:
                "<benchmarks>/diffusion_pictures/all.tsv"
            conda:
                "../envs/core.yaml"
            resources:
                gpu=demand.gpus(*plan.diff_icmh),
                mem_mb=lambda wc, input, attempt: attempt
                * demand.coding_mb(
                    input.models, place_sets("diffusion"), plan.diff_icmh, at_least=4000
                ),
            params:
                code=code_of("diffusion_pictures", codecs=plan.diff_icmh[:1]),
                places=plan.places("diffusion_rates", PLACES, plan.diff_icmh[:1]),
                samples=list(plan.drawn("prior_alone", "image")),
                codec=plan.diff_icmh[0],
                settings=coding_settings(run.config, plan.diff_icmh[0]),
            script:
                "../workflow_scripts/diffusion_pictures.py"

    rule complexity_table:
        input:
            plan.model_files(plan.diff_icmh[0]),
        output:
            table="<results>/tables/complexity.csv",
            figures=figure_files("complexity"),
        log:
            "<logs>/complexity_table.log",
        benchmark:
            "<benchmarks>/complexity_table/all.tsv"
        conda:
            "../envs/core.yaml"
        resources:
            gpu=demand.gpus(*plan.diff_icmh),
            mem_mb=lambda wc, input, attempt: attempt * network_mb(input, at_least=4000),
        params:
            code=code_of("complexity", codecs=plan.diff_icmh[:1]),
            codec=plan.diff_icmh[0],
            settings=coding_settings(run.config, plan.diff_icmh[0]),
        script:
            "../workflow_scripts/complexity.py"
