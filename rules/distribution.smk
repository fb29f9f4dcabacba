# FID and KID: distances between the patches of reconstructions and those of the originals. Included
# where the configuration names data sets.


if run.config["distribution"]["datasets"]:

    PATCH_FEATURES = "<results>/patch_features/{dataset}/{codec}/{shard}.npz"
    PATCH_ORIGINALS = "<results>/patch_features/{dataset}/{shard}.npz"
    PATCH_SETS = run.config["distribution"]["datasets"]

    rule patch_features_originals:
        input:
            records=RECORDS,
            images=IMAGES,
        output:
            features=temp(PATCH_ORIGINALS),
        log:
            "<logs>/patch_features_originals/{dataset}.{shard}.log",
        benchmark:
            "<benchmarks>/patch_features_originals/{dataset}.{shard}.tsv"
        wildcard_constraints:
            dataset="|".join(PATCH_SETS),
        conda:
            "../envs/core.yaml"
        resources:
            gpu=demand.network_gpus,
            mem_mb=lambda wc, attempt: attempt
            * network_mb([], demand.largest_image(wc.dataset), METRICS_MB, at_least=3500),
            runtime=lambda wc, attempt: 120 * attempt,
        params:
            code=code_of("patch_features_originals", codecs=()),
            weights=run.config["weights"],
            device=run.config["device"],
            split=run.config["split"],
        script:
            "../workflow_scripts/patch_features_originals.py"

    rule patch_features:
        input:
            records=RECORDS,
            pictures="<results>/reconstructions/{dataset}/{codec}/{shard}.zip",
            decoded="<results>/decoded/{dataset}/{codec}/{shard}.csv",
        output:
            features=temp(PATCH_FEATURES),
        log:
            "<logs>/patch_features/{dataset}.{codec}.{shard}.log",
        benchmark:
            "<benchmarks>/patch_features/{dataset}.{codec}.{shard}.tsv"
        wildcard_constraints:
            dataset="|".join(PATCH_SETS),
        # Reconstructions are temporary: their features go before further decoding.
        priority: 100
        conda:
            "../envs/core.yaml"
        resources:
            gpu=demand.network_gpus,
            mem_mb=lambda wc, attempt: attempt
            * network_mb([], demand.largest_image(wc.dataset), METRICS_MB, at_least=3500),
            runtime=lambda wc, attempt: 240 * attempt,
            disk_mb=reconstructions_mb,
        params:
            code=code_of("patch_features"),
            weights=run.config["weights"],
            device=run.config["device"],
            split=run.config["split"],
        script:
            "../workflow_scripts/patch_features.py"

    # Some ten seconds per codec spec: singular values of a matrix of 2048 x 2048.
    rule patch_distances:
        input:
            measurements=lambda wc: measurements(datasets=[wc.dataset]),
            originals=lambda wc: shard_files(PATCH_ORIGINALS, dataset=wc.dataset),
            features=lambda wc: shard_files(PATCH_FEATURES, dataset=wc.dataset, codec=wc.codec),
        output:
            distances="<results>/patch_distances/{dataset}/{codec}.csv",
        log:
            "<logs>/patch_distances/{dataset}.{codec}.log",
        benchmark:
            "<benchmarks>/patch_distances/{dataset}.{codec}.tsv"
        wildcard_constraints:
            dataset="|".join(PATCH_SETS),
        conda:
            "../envs/core.yaml"
        resources:
            mem_mb=lambda wc, attempt: 6000 * attempt,
            runtime=lambda wc, attempt: 240 * attempt,
        params:
            code=code_of("patch_distances", codecs=()),
            metrics=plan.metrics,
            minimum=run.config["distribution"]["minimum"],
            comparison=run.config["comparison"],
        script:
            "../workflow_scripts/patch_distances.py"

    rule distribution_table:
        input:
            distances=[
                f"<results>/patch_distances/{dataset}/{codec}.csv"
                for dataset, codec in plan.units(PATCH_SETS)
            ],
        output:
            table="<results>/tables/distribution.csv",
            figures=plan.files_of("distribution_table", "figure"),
        log:
            "<logs>/distribution_table.log",
        benchmark:
            "<benchmarks>/distribution_table/all.tsv"
        conda:
            "../envs/reporting.yaml"
        params:
            code=code_of("distribution_table"),
            drawn=plan.drawn("fid", "dataset"),
            names=curve_names(run),
            families=list(run.codecs),
        script:
            "../workflow_scripts/distribution_table.py"
