"""The network of the reverse process: the bundled file as it is, or trained on the pool."""

from pathlib import Path

from icmbench.core.files import write_bytes
from icmbench.core.joblog import log_to

with log_to(snakemake.log[0]):
    files, out, settings = snakemake.input, snakemake.output, snakemake.params.settings
    if not settings:
        write_bytes(out.weights, Path(files.bundled).read_bytes())
    else:
        import torch

        from icmbench.codecs.mpd.training.reverse import CROP, train_reverse
        from icmbench.core.devices import use_device
        from icmbench.models.latent import CELL
        from icmbench.models.tensors import save_network
        from icmbench.training.data import read_provided
        from icmbench.training.loop import Schedule
        from icmbench.training.provenance import training_provenance

        torch.set_num_threads(snakemake.threads)
        checkpoint, crop = Path(snakemake.params.checkpoint), CROP * CELL
        start = Path(files.bundled) if settings["start"] == "bundled" else None
        keys = ("steps", "batch", "learning_rate", "seed", "precision")
        schedule = Schedule(**{key: settings[key] for key in keys})
        pool = read_provided(files.records, files.images, smallest=crop)
        state, metadata = train_reverse(
            Path(files.autoencoder).parent,
            schedule,
            pool,
            start=start,
            checkpoint=checkpoint,
            history=Path(out.history),
            device=use_device(snakemake.params.device),
        )
        provenance = training_provenance(schedule, pool, crop, start)
        save_network(Path(out.weights), state, {**metadata, "provenance": provenance})
        checkpoint.unlink(missing_ok=True)
