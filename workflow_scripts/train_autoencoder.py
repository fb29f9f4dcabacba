"""The autoencoder: the bundled file as it is, or one that is trained on the pool."""

from pathlib import Path

from icmbench.core.files import write_bytes
from icmbench.core.joblog import log_to

with log_to(snakemake.log[0]):
    files, out, settings = snakemake.input, snakemake.output, snakemake.params.settings
    if not settings:
        write_bytes(out.weights, Path(files.bundled).read_bytes())
    else:
        import torch

        from icmbench.codecs.mpd.training.autoencoder import make_autoencoder
        from icmbench.core.devices import use_device
        from icmbench.training.data import read_provided
        from icmbench.training.loop import Schedule

        torch.set_num_threads(snakemake.threads)
        checkpoint = Path(snakemake.params.checkpoint)
        keys = ("steps", "batch", "learning_rate", "seed", "precision")
        pool = read_provided(files.records, files.images, smallest=settings["crop"])
        make_autoencoder(
            Path(out.weights),
            Schedule(**{key: settings[key] for key in keys}),
            pool,
            crop=settings["crop"],
            checkpoint=checkpoint,
            history=Path(out.history),
            device=use_device(snakemake.params.device),
            start=Path(files.bundled).parent if settings["start"] == "bundled" else None,
        )
        checkpoint.unlink(missing_ok=True)
