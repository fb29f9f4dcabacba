"""The entropy coder's tables: the bundled file as it is, or counted on the pool."""

from pathlib import Path

from icmbench.core.files import write_bytes
from icmbench.core.joblog import log_to

with log_to(snakemake.log[0]):
    files, out, settings = snakemake.input, snakemake.output, snakemake.params.settings
    if not settings:
        write_bytes(out.weights, Path(files.bundled).read_bytes())
    else:
        import torch

        from icmbench.codecs.mpd.training.contexts import train_contexts
        from icmbench.core.devices import use_device
        from icmbench.models.tensors import save_arrays
        from icmbench.training.data import read_provided
        from icmbench.training.provenance import pool_provenance

        torch.set_num_threads(snakemake.threads)
        pool = read_provided(files.records, files.images, smallest=settings["crop"])
        arrays = train_contexts(
            Path(files.autoencoder).parent,
            pool,
            settings["images"],
            use_device(snakemake.params.device),
        )
        provenance = {"images": settings["images"], "pool": pool_provenance(pool)}
        save_arrays(Path(out.weights), arrays, {"provenance": provenance})
