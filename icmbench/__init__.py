"""icmbench: image coding for machines and humans, benchmarked.

Layers, each importing only those below it::

    cli, workflow_scripts/   command line; one thin script per Snakemake rule
    reporting                tables, figures, report
    coding                   the jobs of a shard: encode, decode in a fresh process, measure
    codecs                   one file per family, the contract, the registry
    mpd                      the networks, palettes and streams of Markov palette diffusion
    training                 one loop for every network, the pool of images
    bitstream, metrics, datasets
    sources, fingerprint     the code of jobs: import closures, hashed (job_code: of a run's jobs)
    images, files, errors

The library knows nothing of Snakemake and can be used by itself::

    >>> from icmbench.codecs.strings import parse_string
    >>> point = parse_string("webp:quality=20,scale=0.5")
    >>> stream = point.codec().encode(image, **dict(point.encode))  # doctest: +SKIP
"""

__version__ = "0.1.0"
