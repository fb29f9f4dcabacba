"""The jobs of a run: one function per rule, paths in, paths out; usable without Snakemake.

A function's parameters have the names of its rule's inputs, outputs, params and wildcards, so that
every script of `workflow_scripts/` is one call. The import closure of that script is the job's
fingerprint: each module holds the jobs of one closure and imports nothing of the others.
"""
