# What MPD learns on the encoder's side: taps, pseudo-labels, contrastive features (DESIGN 5b, c).
# Included where a run makes its own model.


rule train_vgg:
    input:
        **training_inputs("vgg"),
    output:
        **training_outputs("vgg"),
    log:
        "<logs>/train_vgg.log",
    benchmark:
        "<benchmarks>/train_vgg/all.tsv"
    priority: 5
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        gpu=training_gpus("vgg"),
        mem_mb=lambda wc, input, attempt: attempt * training_mb(input),
        runtime=lambda wc, attempt: training_minutes("vgg", attempt),
    params:
        device=run.config["device"],
        code=code_of("train_vgg", made="vgg" in TRAINED["mpd"]),
        settings=training_settings("vgg"),
        checkpoint=checkpoint("vgg"),
    script:
        "../workflow_scripts/train_vgg.py"


rule pseudo_labels:
    input:
        records=expand("<results>/training/pool/{source}/records.csv", source=run.training.sources),
        images=expand("<results>/training/pool/{source}/images", source=run.training.sources),
        network=TAPS_NETWORK,
    output:
        labels="<results>/training/pseudo_labels/{kind}.safetensors",
        table="<results>/training/pseudo_labels/{kind}.csv",
        figures=[file for tap in TAPS for file in figure_files(f"montage_{{kind}}_{tap}")],
    log:
        "<logs>/pseudo_labels/{kind}.log",
    benchmark:
        "<benchmarks>/pseudo_labels/{kind}.tsv"
    priority: 5
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        gpu=network_gpus(),
        mem_mb=lambda wc, input, attempt: attempt * training_mb(input),
        runtime=lambda wc, attempt: 240 * attempt,
    params:
        device=run.config["device"],
        code=code_of("pseudo_labels"),
        settings=label_settings(),
    script:
        "../workflow_scripts/pseudo_labels.py"


rule train_features:
    input:
        **training_inputs("features"),
    output:
        **training_outputs("features"),
    log:
        "<logs>/train_features/{kind}.log",
    benchmark:
        "<benchmarks>/train_features/{kind}.tsv"
    priority: 5
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        gpu=training_gpus("features"),
        mem_mb=lambda wc, input, attempt: attempt * training_mb(input),
        runtime=lambda wc, attempt: training_minutes("features", attempt),
    params:
        device=run.config["device"],
        code=code_of("train_features", made="features" in TRAINED["mpd"]),
        settings=training_settings("features"),
        checkpoint=checkpoint("features-{kind}"),
    script:
        "../workflow_scripts/train_features.py"


if LABELLED:

    # The columns of every kind of descriptors, one below the other.
    rule pseudo_labels_table:
        input:
            expand("<results>/training/pseudo_labels/{kind}.csv", kind=LABELLED),
        output:
            "<results>/tables/pseudo_labels.csv",
        log:
            "<logs>/pseudo_labels_table.log",
        benchmark:
            "<benchmarks>/pseudo_labels_table/all.tsv"
        conda:
            "../envs/reporting.yaml"
        threads: 1
        resources:
            mem_mb=1000,
            runtime=10,
        params:
            code=code_of("pseudo_labels_table"),
        script:
            "../workflow_scripts/pseudo_labels_table.py"

    # Do features bring patches of one class together? On scenes that nothing was trained on.
    rule retrieval:
        input:
            model=model_parts("autoencoder", *(f"features-{kind}" for kind in LABELLED)),
        output:
            table="<results>/tables/retrieval.csv",
            figure=figure_files("embedding"),
        log:
            "<logs>/retrieval.log",
        benchmark:
            "<benchmarks>/retrieval/all.tsv"
        conda:
            "../envs/core.yaml"
        threads: 1
        resources:
            gpu=network_gpus(),
            mem_mb=lambda wc, input, attempt: attempt * training_mb(input, least=3000),
            runtime=lambda wc, attempt: 60 * attempt,
        params:
            device=run.config["device"],
            code=code_of("retrieval"),
            scenes=TRAINING["retrieval"],
            patch=TRAINING["pseudo_labels"]["size"],
            kinds=LABELLED,
        script:
            "../workflow_scripts/retrieval.py"

    localrules:
        pseudo_labels_table,


if run.config["hierarchy"]:

    # The paper's figure 2: taps of the VGG and their Fourier transforms.
    rule taps_figure:
        input:
            **place_inputs(
                run.config["hierarchy"][:1],
                {kind: PLACES[kind] for kind in ("records", "images")},
                [],
            ),
            network=TAPS_NETWORK,
        output:
            figure_files("taps"),
        log:
            "<logs>/taps_figure.log",
        benchmark:
            "<benchmarks>/taps_figure/all.tsv"
        conda:
            "../envs/core.yaml"
        threads: 1
        resources:
            mem_mb=lambda wc, attempt: 3000 * attempt,
            runtime=lambda wc, attempt: 30 * attempt,
        params:
            code=code_of("taps_figure"),
            place=run.config["hierarchy"][:1],
            shards=len(SHARDS),
            size=TRAINING["pseudo_labels"]["size"],
        script:
            "../workflow_scripts/taps_figure.py"

    rule mpd_figure_2:
        input:
            figure_files("taps"),


# The paper's figure 4: cluster count against distortion for the coded data sets, pictures of
# their clusters, and the pseudo-labels drawn over an image.
rule clusters_figure:
    input:
        records=expand(PLACES["records"], dataset=run.datasets, shard=SHARDS),
        images=expand(PLACES["images"], dataset=run.datasets, shard=SHARDS),
        labels=f"<results>/training/pseudo_labels/{(LABELLED or ['fft'])[0]}.safetensors",
        network=TAPS_NETWORK,
    output:
        [file for name in CLUSTER_FIGURES for file in figure_files(name)],
    log:
        "<logs>/clusters_figure.log",
    benchmark:
        "<benchmarks>/clusters_figure/all.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        gpu=network_gpus(),
        mem_mb=lambda wc, input, attempt: attempt * training_mb(input),
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        device=run.config["device"],
        code=code_of("clusters_figure"),
        datasets=list(run.datasets),
        places=DRAWN,
        split=run.config["split"],
        shards=len(SHARDS),
        settings=TRAINING["pseudo_labels"],
    script:
        "../workflow_scripts/clusters_figure.py"


rule mpd_figure_4:
    input:
        [file for name in CLUSTER_FIGURES for file in figure_files(name)],


localrules:
    mpd_figure_4,
