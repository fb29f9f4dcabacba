# Learned encoder side of MPD: VGG taps, pseudo-labels, contrastive features (DESIGN 5b, c).


if plan.makes_models:

    rule train_vgg:
        input:
            **parts.mpd_inputs("vgg"),
        output:
            **parts.mpd_outputs("vgg"),
        log:
            "<logs>/train_vgg.log",
        benchmark:
            "<benchmarks>/train_vgg/all.tsv"
        priority: 5
        conda:
            "../envs/core.yaml"
        resources:
            gpu=demand.network_gpus * parts.trained("vgg"),
            mem_mb=lambda wc, input, attempt: attempt * training_mb(input, TRAINING["cache_mb"]),
            runtime=lambda wc, attempt: parts.minutes("vgg") * attempt,
        params:
            device=run.config["device"],
            code=code_of("train_vgg", made=parts.trained("vgg")),
            settings=parts.mpd_settings("vgg"),
            checkpoint=parts.checkpoint("vgg"),
        script:
            "../workflow_scripts/train_vgg.py"

    rule pseudo_labels:
        input:
            **parts.pool(),
            network=parts.taps_network,
        output:
            labels="<results>/training/pseudo_labels/{kind}.safetensors",
            table="<results>/training/pseudo_labels/{kind}.csv",
            figures=[
                file
                for tap in level_names(TRAINING["mpd"]["pseudo_labels"]["descriptors"])
                for file in figure_files(f"montage_{{kind}}_{tap}")
            ],
        log:
            "<logs>/pseudo_labels/{kind}.log",
        benchmark:
            "<benchmarks>/pseudo_labels/{kind}.tsv"
        priority: 5
        conda:
            "../envs/core.yaml"
        resources:
            gpu=demand.network_gpus,
            mem_mb=lambda wc, input, attempt: attempt * training_mb(input, TRAINING["cache_mb"]),
            runtime=lambda wc, attempt: 240 * attempt,
        params:
            device=run.config["device"],
            code=code_of("pseudo_labels"),
            settings={**TRAINING["mpd"]["pseudo_labels"], "seed": TRAINING["seed"]},
        script:
            "../workflow_scripts/pseudo_labels.py"

    rule train_features:
        input:
            **parts.mpd_inputs("features"),
        output:
            **parts.mpd_outputs("features"),
        log:
            "<logs>/train_features/{kind}.log",
        benchmark:
            "<benchmarks>/train_features/{kind}.tsv"
        priority: 5
        conda:
            "../envs/core.yaml"
        resources:
            gpu=demand.network_gpus * parts.trained("features"),
            mem_mb=lambda wc, input, attempt: attempt * training_mb(input, TRAINING["cache_mb"]),
            runtime=lambda wc, attempt: parts.minutes("features") * attempt,
        params:
            device=run.config["device"],
            code=code_of("train_features", made=parts.trained("features")),
            settings=parts.mpd_settings("features"),
            checkpoint=parts.checkpoint("features-{kind}"),
        script:
            "../workflow_scripts/train_features.py"

    if plan.trained_kinds:

        # The tables of both kinds of descriptors, concatenated.
        rule pseudo_labels_table:
            input:
                parts=expand("<results>/training/pseudo_labels/{kind}.csv", kind=plan.trained_kinds),
            output:
                table="<results>/tables/pseudo_labels.csv",
            log:
                "<logs>/pseudo_labels_table.log",
            benchmark:
                "<benchmarks>/pseudo_labels_table/all.tsv"
            localrule: True
            conda:
                "../envs/reporting.yaml"
            params:
                code=code_of("pseudo_labels_table"),
            script:
                "../workflow_scripts/pseudo_labels_table.py"

        # Patch retrieval: nearest-neighbour precision by class on held-out scenes.
        rule retrieval:
            input:
                model=parts.weights(
                    "autoencoder", *(f"features-{kind}" for kind in plan.trained_kinds)
                ),
            output:
                table="<results>/tables/retrieval.csv",
                figures=figure_files("embedding"),
            log:
                "<logs>/retrieval.log",
            benchmark:
                "<benchmarks>/retrieval/all.tsv"
            conda:
                "../envs/core.yaml"
            resources:
                gpu=demand.network_gpus,
                mem_mb=lambda wc, input, attempt: attempt * training_mb(input),
            params:
                device=run.config["device"],
                code=code_of("retrieval"),
                scenes=TRAINING["mpd"]["retrieval"],
                patch=TRAINING["mpd"]["pseudo_labels"]["size"],
                kinds=plan.trained_kinds,
            script:
                "../workflow_scripts/retrieval.py"

    if run.config["hierarchy"]:

        # The paper's figure 2: taps of the VGG and their Fourier transforms.
        rule taps_figure:
            input:
                **plan.image_files(
                    run.config["hierarchy"][:1], {"records": RECORDS, "images": IMAGES}
                ),
                network=parts.taps_network,
            output:
                figures=figure_files("taps"),
            log:
                "<logs>/taps_figure.log",
            benchmark:
                "<benchmarks>/taps_figure/all.tsv"
            conda:
                "../envs/core.yaml"
            resources:
                mem_mb=lambda wc, attempt: 3000 * attempt,
            params:
                code=code_of("taps_figure"),
                place=plan.places("taps", {"records": RECORDS, "images": IMAGES})[0],
                size=TRAINING["mpd"]["pseudo_labels"]["size"],
            script:
                "../workflow_scripts/taps_figure.py"

    # The paper's figure 4: cluster count against distortion for the coded data sets, typical patches
    # of the clusters, and the pseudo-labels drawn over an image.
    rule clusters_figure:
        input:
            records=expand(RECORDS, dataset=run.datasets, shard=plan.shards),
            images=expand(IMAGES, dataset=run.datasets, shard=plan.shards),
            labels=f"<results>/training/pseudo_labels/{(plan.trained_kinds or ['fft'])[0]}.safetensors",
            network=parts.taps_network,
        output:
            figures=plan.files_of("clusters_figure", "figure"),
        log:
            "<logs>/clusters_figure.log",
        benchmark:
            "<benchmarks>/clusters_figure/all.tsv"
        conda:
            "../envs/core.yaml"
        resources:
            gpu=demand.network_gpus,
            mem_mb=lambda wc, input, attempt: attempt * training_mb(input, 1000),
            runtime=lambda wc, attempt: 120 * attempt,
        params:
            device=run.config["device"],
            code=code_of("clusters_figure"),
            datasets=list(run.datasets),
            places=plan.places("labels", {"records": RECORDS, "images": IMAGES}),
            split=run.config["split"],
            settings=TRAINING["mpd"]["pseudo_labels"],
        script:
            "../workflow_scripts/clusters_figure.py"
