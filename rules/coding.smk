# Streams and pictures. The unit of work is data set x codec x shard: one job encodes all encodings
# of its shard with the codec loaded once, another, which sees only the streams, decodes them.


rule encode:
    input:
        records=RECORDS,
        images=IMAGES,
        model=lambda wc: plan.model_files(wc.codec),
        shared_files=lambda wc: plan.shared_files(
            wc.dataset,
            wc.codec,
            "<results>/streams/{dataset}/{owner}/{shard}.zip",
            "<results>/streams/{dataset}/{owner}/{shard}.csv",
            "<results>/timing/{dataset}/{owner}/{shard}.encode.csv",
        ),
    output:
        streams=STREAMS,
        status="<results>/streams/{dataset}/{codec}/{shard}.csv",
        timing="<results>/timing/{dataset}/{codec}/{shard}.encode.csv",
    log:
        "<logs>/encode/{dataset}.{codec}.{shard}.log",
    benchmark:
        "<benchmarks>/encode/{dataset}.{codec}.{shard}.tsv"
    # Codecs with networks take longest: they start first, so that the run does not end with them.
    priority: lambda wc: 5 if wc.codec in plan.with_model else 0
    conda:
        "../envs/core.yaml"
    resources:
        gpu=lambda wc: demand.gpus(wc.codec),
        mem_mb=lambda wc, input, attempt: attempt
        * demand.coding_mb(input.model, [wc.dataset], [wc.codec]),
        runtime=lambda wc, attempt: 120 * attempt,
    params:
        code=code_of("encode"),
        settings=lambda wc: plan.settings_on(wc.dataset, wc.codec),
        shared=lambda wc: plan.shared_encodings(wc.dataset, wc.codec),
        split=run.config["split"],
    script:
        "../workflow_scripts/encode.py"


rule decode:
    input:
        streams=STREAMS,
        encoded="<results>/streams/{dataset}/{codec}/{shard}.csv",
        model=lambda wc: plan.model_files(wc.codec),
        shared_files=lambda wc: plan.shared_files(
            wc.dataset,
            wc.codec,
            "<results>/reconstructions/{dataset}/{owner}/{shard}.zip",
            "<results>/decoded/{dataset}/{owner}/{shard}.csv",
            "<results>/timing/{dataset}/{owner}/{shard}.decode.csv",
        ),
    output:
        pictures=(
            "<results>/reconstructions/{dataset}/{codec}/{shard}.zip"
            if run.config["keep_reconstructions"]
            else temp("<results>/reconstructions/{dataset}/{codec}/{shard}.zip")
        ),
        status="<results>/decoded/{dataset}/{codec}/{shard}.csv",
        timing="<results>/timing/{dataset}/{codec}/{shard}.decode.csv",
    log:
        "<logs>/decode/{dataset}.{codec}.{shard}.log",
    benchmark:
        "<benchmarks>/decode/{dataset}.{codec}.{shard}.tsv"
    priority: lambda wc: 5 if wc.codec in plan.with_model else 0
    conda:
        "../envs/core.yaml"
    resources:
        gpu=lambda wc: demand.gpus(wc.codec),
        mem_mb=lambda wc, input, attempt: attempt
        * demand.coding_mb(input.model, [wc.dataset], [wc.codec]),
        runtime=lambda wc, attempt: 120 * attempt,
        # Its pictures, until all that look at them are done: they ask for the same again.
        disk_mb=reconstructions_mb,
    params:
        code=code_of("decode"),
        settings=lambda wc: plan.settings_on(wc.dataset, wc.codec),
        compress=compresses,
        shared=lambda wc: plan.shared(wc.dataset).get(wc.codec, {}),
    script:
        "../workflow_scripts/decode.py"
