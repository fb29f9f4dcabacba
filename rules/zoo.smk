# Weights of the zoo's codecs: published checkpoints among the downloads, imported as model folders.

from icmbench.codecs.zoo.published import METRICS
from icmbench.codecs.zoo.published import NAMES as ZOO


rule import_zoo:
    input:
        checkpoint=lambda wc: plan.zoo_imports[wc.model, wc.training],
    output:
        made=expand(
            "<results>/models/{{model}}/{{training}}/{file}",
            file=["codec.safetensors", "tables.safetensors", "card.json"],
        ),
    log:
        "<logs>/import_zoo/{model}.{training}.log",
    benchmark:
        "<benchmarks>/import_zoo/{model}.{training}.tsv"
    wildcard_constraints:
        model="|".join(ZOO),
        training=f"({'|'.join(METRICS)})-[1-8]",
    priority: 5
    conda:
        "../envs/core.yaml"
    params:
        code=code_of("import_zoo"),
    script:
        "../workflow_scripts/import_zoo.py"
