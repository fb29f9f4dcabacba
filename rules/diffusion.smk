# Diff-ICMH looked into: pictures, accounting, and what it costs. Not part of a run, minutes each:
# `snakemake --cores all diffusion_pictures complexity_table`. Included where an entry is `diff-icmh`.


if run.config["diffusion"]:

    # One job for all images, as for the visual comparisons.
    rule diffusion_pictures:
        input:
            **diffusion_inputs(),
        output:
            figures=[file for name in DIFFUSION_FIGURES for file in figure_files(name)],
            table="<results>/tables/diff_icmh_accounting.csv",
        log:
            "<logs>/diffusion_pictures.log",
        benchmark:
            "<benchmarks>/diffusion_pictures/all.tsv"
        conda:
            "../envs/core.yaml"
        threads: 1
        resources:
            gpu=gpus(*DIFFUSION),
            mem_mb=lambda wc, input, attempt: attempt
            * coding_mb(input.models, sets_of(run.config["diffusion"]), DIFFUSION, least=4000),
            runtime=lambda wc, attempt: 60 * attempt,
        params:
            code=code_of("diffusion_pictures", codecs=DIFFUSION[:1]),
            diffusion=run.config["diffusion"],
            shards=len(SHARDS),
            codec=DIFFUSION[0],
            settings=coding_settings(run.config, DIFFUSION[0]),
        script:
            "../workflow_scripts/diffusion_pictures.py"


rule complexity_table:
    input:
        model_files(DIFFUSION[0]),
    output:
        table="<results>/tables/complexity.csv",
        figures=figure_files("complexity"),
    log:
        "<logs>/complexity_table.log",
    benchmark:
        "<benchmarks>/complexity_table/all.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        gpu=gpus(*DIFFUSION),
        mem_mb=lambda wc, input, attempt: attempt * network_mb(input, least=4000),
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        code=code_of("complexity", codecs=DIFFUSION[:1]),
        codec=DIFFUSION[0],
        settings=coding_settings(run.config, DIFFUSION[0]),
    script:
        "../workflow_scripts/complexity.py"
