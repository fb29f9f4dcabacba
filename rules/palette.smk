# The states of MPD's embedded streams: tables and figures. Included where a codec entry is `mpd`.


rule mpd_states:
    input:
        records="<results>/datasets/{dataset}/shards/{shard}.csv",
        images="<results>/datasets/{dataset}/images/{shard}",
        streams="<results>/streams/{dataset}/{codec}/{shard}.zip",
        model=lambda wc: model_files(wc.codec),
    output:
        "<results>/states/{dataset}/{codec}/{shard}.csv",
    log:
        "<logs>/mpd_states/{dataset}.{codec}.{shard}.log",
    benchmark:
        "<benchmarks>/mpd_states/{dataset}.{codec}.{shard}.tsv"
    wildcard_constraints:
        codec="|".join(MPD),
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        gpu=lambda wc: gpus(wc.codec),
        mem_mb=lambda wc, input, attempt: attempt * coding_mb(input.model, [wc.dataset], [wc.codec]),
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        code=code_of("mpd_states"),
        settings=lambda wc: coding_settings(run.config, wc.codec),
        split=run.config["split"],
    script:
        "../workflow_scripts/mpd_states.py"


rule mpd_states_table:
    input:
        states=expand(
            "<results>/states/{dataset}/{codec}/{shard}.csv",
            dataset=run.datasets,
            codec=MPD,
            shard=SHARDS,
        ),
    output:
        table="<results>/tables/mpd_states.csv",
        figures=[
            file
            for dataset in run.datasets
            for kind in ("states", "bit_shares")
            for file in figure_files(f"{kind}_{dataset}")
        ],
    log:
        "<logs>/mpd_states_table.log",
    benchmark:
        "<benchmarks>/mpd_states_table/all.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        code=code_of("mpd_states_table", codecs=MPD),
        datasets=list(run.datasets),
        bootstrap=run.config["bootstrap"],
    script:
        "../workflow_scripts/mpd_states_table.py"


if HIERARCHIES:

    # One job for all images, as for the visual comparisons.
    rule palette_hierarchy:
        input:
            **hierarchy_inputs(),
        output:
            [file for name in HIERARCHIES for file in figure_files(name)],
        log:
            "<logs>/palette_hierarchy.log",
        benchmark:
            "<benchmarks>/palette_hierarchy/all.tsv"
        conda:
            "../envs/core.yaml"
        threads: 1
        resources:
            gpu=gpus(*MPD),
            mem_mb=lambda wc, input, attempt: attempt
            * coding_mb(input.models, sets_of(run.config["hierarchy"]), MPD[:1]),
            runtime=lambda wc, attempt: 30 * attempt,
        params:
            code=code_of("palette_hierarchy", codecs=MPD[:1]),
            hierarchy=run.config["hierarchy"],
            shards=len(SHARDS),
            codec=MPD[0],
            settings=coding_settings(run.config, MPD[0]),
        script:
            "../workflow_scripts/palette_hierarchy.py"

    # Not part of a run: `snakemake mpd_framework_table`. The framework's numbers, stage by stage.
    rule mpd_framework_table:
        input:
            **hierarchy_inputs(),
        output:
            "<results>/tables/mpd_framework.csv",
        log:
            "<logs>/mpd_framework.log",
        benchmark:
            "<benchmarks>/mpd_framework/all.tsv"
        conda:
            "../envs/core.yaml"
        threads: 1
        resources:
            gpu=gpus(*MPD[:1]),
            mem_mb=lambda wc, input, attempt: attempt
            * coding_mb(input.models, sets_of(run.config["hierarchy"]), MPD[:1]),
            runtime=lambda wc, attempt: 30 * attempt,
        params:
            code=code_of("mpd_framework", codecs=MPD[:1]),
            hierarchy=run.config["hierarchy"],
            shards=len(SHARDS),
            codec=MPD[0],
            settings=coding_settings(run.config, MPD[0]),
        script:
            "../workflow_scripts/mpd_framework.py"

    rule mpd_framework:
        input:
            "<results>/tables/mpd_framework.csv",

    localrules:
        mpd_framework,
