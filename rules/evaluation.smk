# Measurements: reconstructions against originals, one row per image and codec spec.


rule measure:
    input:
        records=RECORDS,
        images=IMAGES,
        pictures="<results>/reconstructions/{dataset}/{codec}/{shard}.zip",
        decoded="<results>/decoded/{dataset}/{codec}/{shard}.csv",
        shared_files=lambda wc: plan.shared_files(
            wc.dataset,
            wc.codec,
            "<results>/measurements/{dataset}/{owner}/{shard}.parquet",
        ),
    output:
        measurements=MEASUREMENTS,
    log:
        "<logs>/measure/{dataset}.{codec}.{shard}.log",
    benchmark:
        "<benchmarks>/measure/{dataset}.{codec}.{shard}.tsv"
    # Reconstructions are temporary: measuring goes before further decoding.
    priority: 100
    conda:
        "../envs/core.yaml"
    resources:
        gpu=demand.network_gpus * bool(plan.learned_metrics),
        mem_mb=lambda wc, attempt: attempt
        * network_mb([], demand.largest_image(wc.dataset), METRICS_MB, at_least=3500),
        runtime=lambda wc, attempt: 120 * attempt,
        disk_mb=reconstructions_mb,
    params:
        code=code_of("measure", metrics=plan.metrics),
        metrics=run.config["metrics"],
        weights=run.config["weights"],
        available=plan.metrics,
        # Metrics without a network are always computed on the CPU.
        device=run.config["device"] if plan.learned_metrics else "cpu",
        shared=lambda wc: plan.shared(wc.dataset).get(wc.codec, {}),
        split=run.config["split"],
        lossless=lambda wc: plan.lossless(wc.codec),
    script:
        "../workflow_scripts/measure.py"
