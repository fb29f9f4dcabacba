"""Does the reverse process pay? R against the plain decoder D and against D fine-tuned on z_t.

The rival has what R has: the same pool, crops, states, loss on the image, schedule and number of
steps; only, instead of a network before a frozen D, D itself is trained on the palette's latents.
Neither is ever tuned on the images that are compared here.

    python tools/reverse_check.py --pool DIR... --test DIR [--steps 1000] [--out reverse.csv]
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from icmbench.codecs.mpd.mpd_model import MPDModel
from icmbench.codecs.mpd.networks.reverse import reverse
from icmbench.codecs.mpd.palette.clustering import default_features
from icmbench.codecs.mpd.stream.encoder import encode_latent
from icmbench.codecs.mpd.stream.refinement import REFINEMENTS
from icmbench.codecs.mpd.training import reverse as training
from icmbench.core.images.image_files import read_image
from icmbench.models.latent import CELL, SCALE, latent_image
from icmbench.models.norms import freeze_norms
from icmbench.training.data import TrainingData, read_training_data
from icmbench.training.loop import Losses, Schedule, Session, train
from icmbench.training.losses import scale_losses

SIDE = 16  # cells of a training crop: its pixels are decoded
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def files(folder: Path) -> list[Path]:
    """All images below a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def tune_decoder(
    model: MPDModel, pool: TrainingData, schedule: Schedule, folder: Path
) -> torch.nn.Module:
    """A copy of the autoencoder whose decoder was trained on z_t."""
    autoencoder = model.autoencoder
    tuned = copy.deepcopy(autoencoder.network)
    for name, parameter in tuned.named_parameters():
        parameter.requires_grad_(name.startswith(("decoder.", "synthesis.")))
    examples = training.make_examples(autoencoder, pool, folder, SIDE)
    std = torch.from_numpy(autoencoder.std)[None, :, None, None]
    mean = torch.from_numpy(autoencoder.mean)[None, :, None, None]

    def losses(rng: np.random.Generator) -> Losses:
        batch = schedule.batch
        start, _, _, pixels = training.draw(examples, model.noise, rng, batch, SIDE, walk=0.0)
        with torch.autocast("cpu", torch.bfloat16, enabled=schedule.precision == "bfloat16"):
            shown = tuned.decode(start * std + mean).sample.float()
        picture, structure = scale_losses(shown, pixels)
        loss = training.PICTURE * picture + training.STRUCTURE * structure
        return {"loss": loss, "picture": picture, "structure": structure}

    train(
        "tuned decoder",
        tuned,
        schedule,
        losses,
        Session(folder / "tuned.pt", folder / "tuned.csv"),
        describe={"weights": model.digest.hex(), "pool": pool.digest},
        freeze=freeze_norms,
    )
    return tuned.eval()


def compare(model: MPDModel, tuned: torch.nn.Module, paths: list[Path]) -> pd.DataFrame:
    """Per image and state: latent error and PSNR of z_t, of R, and of the tuned decoder."""
    autoencoder = model.autoencoder
    rows = []
    for path in paths:
        image, _ = read_image(path)
        latent = model.latent(image)
        features = default_features(autoencoder.carried_latent(latent))
        _, states = encode_latent(
            latent, adaptive=model.contexts, carried=autoencoder.carried, refine=REFINEMENTS,
            features=features,
        )  # fmt: skip
        goal = latent.astype(np.float64) / SCALE
        for state in states:
            row: dict[str, object] = {"image": path.stem, "state": state.state}
            row["entries"] = len(state.palette)
            for name, decoder in (("plain", "mean"), ("reverse", "regression")):
                guess = reverse(model.network, state, decoder, model.noise, 0)
                row[f"latent_{name}"] = float(np.mean((guess - goal) ** 2))
                shown = autoencoder.image(guess, image.shape[:2])
                row[f"psnr_{name}"] = psnr(image, shown)
            start = reverse(model.network, state, "mean", model.noise, 0)
            statistics = autoencoder.mean, autoencoder.std
            size = image.shape[:2]
            shown = latent_image(tuned, start, *statistics, size, **autoencoder.tiling)
            row["psnr_tuned"] = psnr(image, shown)
            rows.append(row)
    return pd.DataFrame(rows)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """PSNR of two 8-bit images in dB."""
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


def main() -> None:
    """Train the rival, compare, print the means per state."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pool", type=Path, nargs="+", required=True, help="training folders")
    parser.add_argument("--test", type=Path, required=True, help="photographs to compare on")
    parser.add_argument("--models", type=Path, help="model folder; default: the bundled one")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--out", type=Path, default=Path("reverse.csv"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = MPDModel(arguments.models, "cpu")
    sources = [(folder.name, files(folder)) for folder in arguments.pool]
    pool = read_training_data(sources, smallest=SIDE * CELL)
    schedule = Schedule(
        arguments.steps, arguments.batch, arguments.rate, precision="bfloat16", freeze_after=0.0
    )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    tuned = tune_decoder(model, pool, schedule, arguments.out.parent)
    table = compare(model, tuned, files(arguments.test))
    table.to_csv(arguments.out, index=False)
    print(table.drop(columns="image").groupby("state").mean().round(4).to_string())


if __name__ == "__main__":
    main()
