"""One stage of the codec's training: what it starts from as it is, or trained on the pool."""

from pathlib import Path

from icmbench.core.files import write_bytes
from icmbench.core.joblog import log_to

PARTS = ("codec", "control", "tables")

with log_to(snakemake.log[0]):
    files, out, settings = snakemake.input, snakemake.output, snakemake.params.settings
    if not settings:
        for part in PARTS:
            write_bytes(getattr(out, part), Path(getattr(files, f"start_{part}")).read_bytes())
    else:
        import torch

        from icmbench.codecs.diff_icmh.networks.lfgcm import STRIDE
        from icmbench.codecs.diff_icmh.training.codec import Weights, load_parts, make_codec
        from icmbench.core.devices import use_device
        from icmbench.training.data import read_provided
        from icmbench.training.loop import Schedule

        torch.set_num_threads(snakemake.threads)
        checkpoint = Path(snakemake.params.checkpoint)
        keys = ("steps", "batch", "learning_rate", "seed", "precision")
        losses, device = settings["codec"], use_device(settings["device"])
        crop = settings["crop"] // STRIDE * STRIDE
        start = Path(files.start_codec).parent if hasattr(files, "start_codec") else None
        make_codec(
            Path(out.codec).parent,
            load_parts(Path(files.autoencoder).parent, Path(files.prior), device),
            Schedule(**{key: settings[key] for key in keys}, average=losses["average"]),
            read_provided(files.records, files.images, smallest=crop),
            stage=snakemake.params.stage,
            weights=Weights(
                noise=losses["noise"],
                guide=losses["guide"],
                rate=tuple(losses["rates"]),
                semantic=losses["semantic"],
                tags=losses["tags"],
                draws=losses["draws"],
                steer_only=losses["steer_only"],
            ),
            source_tags=settings["source_tags"],
            crop=crop,
            checkpoint=checkpoint,
            history=Path(out.history),
            start=start,
            device=device,
        )
        checkpoint.unlink(missing_ok=True)
