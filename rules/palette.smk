# The states of MPD's embedded streams: tables and figures.


if plan.mpd:

    rule mpd_states:
        input:
            records=RECORDS,
            images=IMAGES,
            streams=STREAMS,
            model=lambda wc: plan.model_files(wc.codec),
        output:
            states="<results>/states/{dataset}/{codec}/{shard}.csv",
        log:
            "<logs>/mpd_states/{dataset}.{codec}.{shard}.log",
        benchmark:
            "<benchmarks>/mpd_states/{dataset}.{codec}.{shard}.tsv"
        wildcard_constraints:
            codec="|".join(plan.mpd),
        conda:
            "../envs/core.yaml"
        resources:
            gpu=lambda wc: demand.gpus(wc.codec),
            mem_mb=lambda wc, input, attempt: attempt
            * demand.coding_mb(input.model, [wc.dataset], [wc.codec]),
            runtime=lambda wc, attempt: 120 * attempt,
        params:
            code=code_of("mpd_states"),
            settings=lambda wc: plan.settings_on(wc.dataset, wc.codec),
            split=run.config["split"],
        script:
            "../workflow_scripts/mpd_states.py"

    rule mpd_states_table:
        input:
            states=unit_files("<results>/states/{dataset}/{codec}/{shard}.csv", codecs=plan.mpd),
        output:
            table="<results>/tables/mpd_states.csv",
            figures=plan.files_of("mpd_states_table", "figure"),
        log:
            "<logs>/mpd_states_table.log",
        benchmark:
            "<benchmarks>/mpd_states_table/all.tsv"
        conda:
            "../envs/core.yaml"
        params:
            code=code_of("mpd_states_table", codecs=plan.mpd),
            datasets=list(dict(plan.units(codecs=plan.mpd))),
            bootstrap=run.config["bootstrap"],
        script:
            "../workflow_scripts/mpd_states_table.py"

    if run.config["hierarchy"]:

        # One job for all images, as for the visual comparisons.
        rule palette_hierarchy:
            input:
                **place_inputs("hierarchy", PLACES, plan.mpd[:1]),
            output:
                figures=plan.files_of("palette_hierarchy", "figure"),
            log:
                "<logs>/palette_hierarchy.log",
            benchmark:
                "<benchmarks>/palette_hierarchy/all.tsv"
            conda:
                "../envs/core.yaml"
            resources:
                gpu=demand.gpus(*plan.mpd),
                mem_mb=lambda wc, input, attempt: attempt
                * demand.coding_mb(input.models, place_sets("hierarchy"), plan.mpd[:1]),
            params:
                code=code_of("palette_hierarchy", codecs=plan.mpd[:1]),
                places=plan.places("palette", PLACES, plan.mpd[:1]),
                codec=plan.mpd[0],
                settings=coding_settings(run.config, plan.mpd[0]),
            script:
                "../workflow_scripts/palette_hierarchy.py"

        # Distortion of every stage of MPD's framework. Not part of a run:
        # `snakemake mpd_framework_table`.
        rule mpd_framework_table:
            input:
                **place_inputs("hierarchy", PLACES, plan.mpd[:1]),
            output:
                table="<results>/tables/mpd_framework.csv",
            log:
                "<logs>/mpd_framework.log",
            benchmark:
                "<benchmarks>/mpd_framework/all.tsv"
            conda:
                "../envs/core.yaml"
            resources:
                gpu=demand.gpus(*plan.mpd[:1]),
                mem_mb=lambda wc, input, attempt: attempt
                * demand.coding_mb(input.models, place_sets("hierarchy"), plan.mpd[:1]),
            params:
                code=code_of("mpd_framework", codecs=plan.mpd[:1]),
                places=plan.places("palette", PLACES, plan.mpd[:1]),
                codec=plan.mpd[0],
                settings=coding_settings(run.config, plan.mpd[0]),
            script:
                "../workflow_scripts/mpd_framework.py"

        rule mpd_framework:
            input:
                "<results>/tables/mpd_framework.csv",
            localrule: True
