"""The contrastive features: the bundled file as it is, or trained on the pool's pseudo-labels."""

from pathlib import Path

from icmbench.core.files import write_bytes
from icmbench.core.joblog import log_to

with log_to(snakemake.log[0]):
    files, out, settings = snakemake.input, snakemake.output, snakemake.params.settings
    if not settings:
        write_bytes(out.weights, Path(files.bundled).read_bytes())
    else:
        import torch

        from icmbench.codecs.mpd.training.features import train_features
        from icmbench.codecs.mpd.training.pseudo_labels import PseudoLabels
        from icmbench.codecs.mpd.training.representation import check_labels
        from icmbench.core.devices import use_device
        from icmbench.models.tensors import save_network
        from icmbench.training.data import read_provided
        from icmbench.training.loop import Schedule
        from icmbench.training.provenance import training_provenance

        torch.set_num_threads(snakemake.threads)
        checkpoint = Path(snakemake.params.checkpoint)
        start = Path(files.bundled) if settings["start"] == "bundled" else None
        keys = ("steps", "batch", "learning_rate", "seed", "precision")
        schedule = Schedule(**{key: settings[key] for key in keys})
        labels = PseudoLabels.load(Path(files.labels))
        pool = read_provided(files.records, files.images, smallest=labels.patches.size)
        check_labels(labels, pool, Path(files.labels))
        state, metadata = train_features(
            Path(files.autoencoder).parent,
            schedule,
            pool,
            labels,
            start=start,
            checkpoint=checkpoint,
            history=Path(out.history),
            device=use_device(snakemake.params.device),
        )
        provenance = training_provenance(schedule, pool, labels.patches.size, start)
        provenance["labels"] = {"kind": labels.kind, "network": labels.weights}
        save_network(Path(out.weights), state, {**metadata, "provenance": provenance})
        checkpoint.unlink(missing_ok=True)
