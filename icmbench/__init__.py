"""icmbench: image coding for machines and humans, benchmarked.

Packages, each importing only those below it (`LAYERS`)::

    workflow_scripts/        one script per Snakemake rule, each a call of one function of jobs
    cli                      command line
    jobs                     one function per rule: paths in, paths out
    config, transfer         a run's configuration; decoding on another machine
    studies, reporting       analyses that run models; tables, figures, report
    tasks, evaluation        machine tasks; the jobs of a shard: encode, decode, measure
    codecs                   conventional formats, MPD, Diff-ICMH: contract and registry
    training, models         one loop for every network; weight files, the latent autoencoder
    bitstream, metrics, datasets
    barcodes, lettering      renderers: bar codes on labels; text on pages, signs and labels
    pasted, scenes           renderers: flat sheets in photographs; procedural scenes
    classifier, sources      EfficientNet-Lite0; published files
    core                     errors, files, images, fingerprints

The library knows nothing of Snakemake and can be used by itself::

    >>> from icmbench.codecs.specs import parse_spec
    >>> point = parse_spec("webp:quality=20,scale=0.5")
    >>> stream = point.codec().encode(image, **dict(point.encode))  # doctest: +SKIP
"""

__version__ = "0.1.0"

# From the lowest upwards; a package imports those before it.
LAYERS = (
    "core",
    "sources",
    "classifier",
    "scenes",
    "pasted",
    "lettering",
    "barcodes",
    "bitstream",
    "metrics",
    "datasets",
    "models",
    "training",
    "codecs",
    "evaluation",
    "tasks",
    "reporting",
    "studies",
    "config",
    "transfer",
    "jobs",
    "cli",
)
