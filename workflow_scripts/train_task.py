"""A small task model: the bundled file as it is, or trained on for some steps on clean scenes."""

from pathlib import Path

from icmbench.core.files import write_bytes
from icmbench.core.joblog import log_to

with log_to(snakemake.log[0]):
    files, settings, part = snakemake.input, snakemake.params.settings, snakemake.wildcards.part
    if not settings:
        write_bytes(snakemake.output.weights, Path(files.bundled).read_bytes())
    else:
        import torch

        from icmbench.core.devices import use_device
        from icmbench.models.tensors import save_network
        from icmbench.tasks.training.part import train_part
        from icmbench.training.loop import Schedule

        torch.set_num_threads(snakemake.threads)
        checkpoint = Path(snakemake.params.checkpoint)
        keys = ("steps", "batch", "learning_rate", "seed")
        state, metadata = train_part(
            part,
            Schedule(**{key: settings[key] for key in keys}),
            [Path(path) for path in files.records],
            [Path(path) for path in files.images],
            start=Path(files.bundled),
            checkpoint=checkpoint,
            history=Path(snakemake.output.history),
            device=use_device(snakemake.params.device),
        )
        save_network(Path(snakemake.output.weights), state, metadata)
        checkpoint.unlink(missing_ok=True)
