# Images: every data set is provided shard by shard; the manifest is the list of all its images.
# Priority 8: inputs of the evaluation run before decoding starts, so that temporary
# reconstructions do not accumulate.


rule dataset_shard:
    input:
        fetched=lambda wc: ancient(plan.source_files(run.datasets[wc.dataset])),
    output:
        records=RECORDS,
        images=directory(IMAGES),
    log:
        "<logs>/dataset_shard/{dataset}.{shard}.log",
    benchmark:
        "<benchmarks>/dataset_shard/{dataset}.{shard}.tsv"
    priority: 8
    conda:
        "../envs/core.yaml"
    params:
        code=code_of("dataset_shard"),
        entry=lambda wc: without_units(run.config["datasets"][wc.dataset]),
        downloads=run.config["downloads"],
        shards=len(plan.shards),
        fingerprint=lambda wc: plan.fingerprint(wc.dataset, int(wc.shard)),
    script:
        "../workflow_scripts/dataset_shard.py"


rule manifest:
    input:
        shards=lambda wc: shard_files(RECORDS, dataset=wc.dataset),
    output:
        manifest="<results>/datasets/{dataset}/manifest.csv",
    log:
        "<logs>/manifest/{dataset}.log",
    benchmark:
        "<benchmarks>/manifest/{dataset}.tsv"
    priority: 8
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        code=code_of("manifest"),
    script:
        "../workflow_scripts/manifest.py"


rule annotations:
    input:
        manifest="<results>/datasets/{dataset}/manifest.csv",
        images=lambda wc: shard_files(IMAGES, dataset=wc.dataset),
    output:
        instances="<results>/datasets/{dataset}/instances.json",
        landmarks="<results>/datasets/{dataset}/landmarks.json",
        classes="<results>/datasets/{dataset}/classes.json",
        semantic="<results>/datasets/{dataset}/semantic.json",
        more="<results>/datasets/{dataset}/more.json",
    log:
        "<logs>/annotations/{dataset}.log",
    benchmark:
        "<benchmarks>/annotations/{dataset}.tsv"
    priority: 8
    conda:
        "../envs/core.yaml"
    params:
        code=code_of("annotations"),
        entry=lambda wc: without_units(run.config["datasets"][wc.dataset]),
        downloads=run.config["downloads"],
        shards=len(plan.shards),
    script:
        "../workflow_scripts/annotations.py"
