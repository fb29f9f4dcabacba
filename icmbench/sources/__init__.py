"""Sources: published files of data sets and models, fetched once, checked, kept in `downloads`.

`icmbench/datasets/sources.yaml` and `icmbench/models/sources.yaml` list them. Nothing is fetched
while a workflow is planned and nothing by a job on a compute node: `icmbench fetch` and the rule
`download` do it.
"""
