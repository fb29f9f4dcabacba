# Measurements: pictures against originals, one row per image and codec string.


rule measure:
    input:
        records="<results>/datasets/{dataset}/shards/{shard}.csv",
        images="<results>/datasets/{dataset}/images/{shard}",
        pictures="<results>/reconstructions/{dataset}/{codec}/{shard}.zip",
        decoded="<results>/decoded/{dataset}/{codec}/{shard}.csv",
        shared_files=lambda wc: shared_measurements(wc),
    output:
        measurements="<results>/measurements/{dataset}/{codec}/{shard}.parquet",
    log:
        "<logs>/measure/{dataset}.{codec}.{shard}.log",
    benchmark:
        "<benchmarks>/measure/{dataset}.{codec}.{shard}.tsv"
    # Pictures are temporary: measure what is decoded before decoding more.
    priority: 100
    conda:
        "../envs/core.yaml"
    resources:
        gpu=network_gpus() * bool(learned_metrics()),
        mem_mb=lambda wc, attempt: attempt
        * network_mb([], largest_image(wc.dataset), METRICS_MB, least=3500),
        runtime=lambda wc, attempt: 120 * attempt,
        disk_mb=lambda wc: pictures_mb(wc.dataset, wc.codec, wc.shard),
    params:
        code=code_of("measure", metrics=metrics_available()),
        metrics=run.config["metrics"],
        weights=run.config["weights"],
        available=metrics_available(),
        # The others are computed on the CPU, whatever computes these.
        device=run.config["device"] if learned_metrics() else "cpu",
        shared=lambda wc: SHARED_POINTS.get(wc.codec, {}),
        split=run.config["split"],
    script:
        "../workflow_scripts/measure.py"
