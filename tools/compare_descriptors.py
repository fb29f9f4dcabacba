"""Pseudo-labels of every tap by itself, and of all taps as one vector, compared.

The taps of the bundled VGG are clustered both ways on the same patches of a folder of photographs.
Shown per level: the share of the variance that the clusters leave, the agreement (adjusted Rand
index) of two seeds, and that with the clusters of all taps. Features are then trained on both for
the bundled latent, from scratch, and retrieve patches of held-out scenes by class
(`tables/retrieval.csv`).

    python tools/compare_descriptors.py FOLDER [--patches 2048] [--clusters 16] [--steps 200]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import torch
from sklearn.metrics import adjusted_rand_score

from icmbench.codecs.mpd.model_folder import TAPS, bundled, part_file
from icmbench.codecs.mpd.training.features import train_features
from icmbench.codecs.mpd.training.pseudo_labels import PseudoLabels, draw_patches
from icmbench.codecs.mpd.training.representation import load_taps, make_pseudo_labels
from icmbench.models.tensors import save_network
from icmbench.studies.clusters import labels_table, retrieval_table, retrieve
from icmbench.training.data import TrainingData, read_training_data
from icmbench.training.loop import Schedule, Session

KIND, SEED = "fft", 1
SUFFIXES = (".png", ".jpg", ".jpeg")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    for name, default in (("patches", 2048), ("clusters", 16), ("steps", 200), ("scenes", 24)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted(path for path in given.folder.glob("*") if path.suffix.lower() in SUFFIXES)
    data = read_training_data([(given.folder.name, paths)], smallest=128)
    network = load_taps(part_file(bundled(), "vgg"))
    patches = draw_patches(data.images, given.patches, 64, SEED)
    made = {}
    for levels in (1, len(TAPS)):
        counts = [given.clusters] * levels
        labels, vectors = make_pseudo_labels(
            network, data, patches, KIND, counts=[given.clusters], clusters=counts, seed=SEED
        )
        made[levels] = labels
        table = labels_table(labels, vectors, SEED)
        one = made[1].levels[0].labels
        table["with all taps"] = [adjusted_rand_score(one, level.labels) for level in labels.levels]
        columns = ["level", "clusters", "distortion", "stability", "with all taps"]
        print(table[columns].to_string(index=False, float_format="%.3f"), flush=True)
    for levels, labels in made.items():
        print(f"\nfeatures of {levels} level(s), {given.steps} steps")
        print(_retrieval(labels, data, given.steps, given.scenes), flush=True)


def _retrieval(labels: PseudoLabels, data: TrainingData, steps: int, scenes: int) -> str:
    """The table of retrieval by features that are trained on the labels."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        shutil.copy(part_file(bundled(), "autoencoder"), folder)
        schedule = Schedule(steps=steps, batch=128, learning_rate=2e-3, seed=SEED)
        session = Session(folder / "checkpoint", folder / "history.csv")
        state, metadata = train_features(folder, schedule, data, labels, session)
        save_network(part_file(folder, f"features-{KIND}"), state, metadata)
        found = retrieve(folder, [KIND], scenes=scenes, patch=64)
        return retrieval_table(found).to_string(index=False, float_format="%.3f")


if __name__ == "__main__":
    main()
