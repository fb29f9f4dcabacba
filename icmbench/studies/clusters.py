"""Tables and figures of MPD's learned features: clusters, taps and retrieval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from icmbench.codecs.mpd.model_folder import TAPS, check_together, part_file
from icmbench.codecs.mpd.networks.features import load_features
from icmbench.codecs.mpd.training.clusters import Level, fit_level, stability, typical
from icmbench.codecs.mpd.training.descriptors import descriptor, sectors
from icmbench.codecs.mpd.training.pseudo_labels import (
    Patches,
    PseudoLabels,
    draw_patches,
    label_maps,
    patch_descriptors,
)
from icmbench.codecs.mpd.training.representation import TapsNetwork
from icmbench.models.latent import CELL, SCALE
from icmbench.models.latent_autoencoder import load_autoencoder
from icmbench.reporting.figures import label_maps as overlay
from icmbench.reporting.figures.clusters import distortion_figure
from icmbench.reporting.figures.embedding import embedding_figure, tsne
from icmbench.reporting.figures.montage import cluster_montage
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.taps import taps_and_spectra
from icmbench.scenes import SEMANTIC_CLASSES
from icmbench.studies.retrieval import (
    Retrieval,
    chance_share,
    compare,
    patch_means,
    patch_statistics,
    same_class_share,
    scene_patches,
)

SEEDS: Final = (1, 2)  # of the two clusterings whose agreement is reported
SHOWN: Final = 8  # patches of a cluster in a montage
STUDIED: Final = 1024  # patches of a coded data set, at most
SCENE: Final = 256  # pixels a side of the scenes of the retrieval check
HELD_SEED: Final = 2  # of those scenes: settings were chosen by looking at seed 1
RAW = "latent, mean and deviation"

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


def labels_table(labels: PseudoLabels, descriptors: Sequence[Floats], seed: int) -> pd.DataFrame:
    """One row per level and number of clusters that was tried.

    Columns: `kind, level, clusters, used, distortion` (share of the variance that the clusters
    leave), `kept` (share of the descriptors' variance in the principal components), `stability`
    (adjusted Rand index of two seeds, for the number in use).
    """
    rows = []
    for tap, level, values in zip(labels.names, labels.levels, descriptors, strict=True):
        used = len(level.centres)
        agreement = stability(values, used, (seed + SEEDS[0], seed + SEEDS[1]))
        for count, share in zip(level.counts, level.inertia, strict=True):
            row: dict[str, Any] = {"kind": labels.kind, "level": tap, "clusters": count}
            row |= {"used": int(count == used), "distortion": float(share), "kept": level.kept}
            rows.append(row | {"stability": agreement if count == used else None})
    return pd.DataFrame(rows)


def level_montage(
    name: str, level: Level, descriptors: Floats, patches: Patches, images: Sequence[Image]
) -> Figure:
    """The typical patches of a level's clusters."""
    count = len(level.centres)
    sizes = np.bincount(level.labels, minlength=count)
    shown = []
    for cluster in range(count):
        chosen = typical(descriptors, level, cluster, SHOWN, patches.image)
        shown.append(list(patches.cut(images, chosen)) if chosen.size else [])
    titles = [f"cluster {cluster}" for cluster in range(count)]
    return cluster_montage(shown, titles, sizes.tolist(), title=f"Pseudo-labels, {name}")


def taps_figure(network: TapsNetwork, image: Image, size: int, name: str) -> Figure:
    """Taps and spectra of the patch in the middle of an image (paper, figure 2)."""
    title = f"Taps and their spectra, {name}"
    if min(image.shape[:2]) < size:
        return placeholder(title, f"no patch of {size} pixels fits into the image.")
    top, left = ((side - size) // 2 for side in image.shape[:2])
    patch = image[top : top + size, left : left + size]
    pixels = torch.from_numpy(patch.transpose(2, 0, 1)[None] / np.float32(127.5) - np.float32(1))
    with torch.inference_mode():
        found = network(pixels)
        spectra = [
            descriptor(tap, "fft")[0].reshape(tap.shape[1], -1).cpu().numpy() for tap in found
        ]
    return taps_and_spectra(
        patch,
        {tap: values[0].cpu().numpy() for tap, values in zip(TAPS, found, strict=True)},
        dict(zip(TAPS, spectra, strict=True)),
        {tap: sectors(values.shape[2])[0] for tap, values in zip(TAPS, found, strict=True)},
        title=title,
    )


class ClusterStudy:
    """Clusters of several data sets beside those of the training data (paper, figure 4)."""

    def __init__(
        self, network: TapsNetwork, labels: PseudoLabels, settings: Mapping[str, Any]
    ) -> None:
        """`settings` are those of `training.mpd.pseudo_labels`."""
        self.network, self.labels, self.settings = network, labels, settings
        self.curves = {
            "training pool": {
                tap: (level.counts, level.inertia.tolist())
                for tap, level in zip(labels.names, labels.levels, strict=True)
            }
        }
        self.montages: dict[str, Figure] = {}

    def add(self, dataset: str, images: Sequence[Image]) -> None:
        """Cluster the patches of a coded data set by themselves: for the figure, nothing else.

        Counts that its patches are too few for are left out of its curves; a data set without
        two different patches has a placeholder and no curve.
        """
        size = self.settings["size"]
        places = sum(
            max(0, (h - size) // CELL + 1) * max(0, (w - size) // CELL + 1)
            for h, w in (image.shape[:2] for image in images)
        )
        name = f"clusters_{dataset}"
        found: list[Floats] = []
        if places:
            patches = draw_patches(images, min(STUDIED, places), size, seed=0)
            found = patch_descriptors(
                self.network, images, patches, self.labels.kind, joined=len(self.labels.levels) == 1
            )
        able = min((len(np.unique(values, axis=0)) for values in found), default=0)
        least = self.labels.levels[0].counts[0]
        if able < least:
            why = f"{able} different patches of {size} pixels are too few for {least} clusters."
            self.montages[name] = placeholder(f"Clusters of {dataset}", why)
            return
        self.curves[dataset] = {}
        for tap, level, values in zip(self.labels.names, self.labels.levels, found, strict=True):
            counts = [count for count in level.counts if count <= able]
            used = min(len(level.centres), counts[-1])
            own = fit_level(values, counts, used if used in counts else counts[-1], seed=0)
            self.curves[dataset][tap] = (own.counts, own.inertia.tolist())
        self.montages[name] = level_montage(
            f"{self.labels.names[-1]}, {dataset}", own, found[-1], patches, images
        )

    def figures(self) -> dict[str, Figure]:
        """Distortion against the number of clusters, and a montage per data set."""
        chosen = {
            tap: len(level.centres)
            for tap, level in zip(self.labels.names, self.labels.levels, strict=True)
        }
        return {"clusters": distortion_figure(self.curves, chosen), **self.montages}

    def over(self, image: Image, name: str) -> Figure:
        """Pseudo-labels of the training data drawn over an image."""
        size = self.settings["size"]
        if min(image.shape[:2]) < size:
            return placeholder(f"Pseudo-labels, {name}", f"no patch of {size} pixels fits.")
        stride = size // 4
        levels = self.labels.levels
        maps = label_maps(self.network, image, levels, size, stride, self.labels.kind)
        titles = dict(zip(self.labels.names, maps, strict=True))
        return overlay.label_maps(image, titles, size, stride, title=f"Pseudo-labels, {name}")


@dataclass(frozen=True)
class Found:
    """Representations of held-out patches, and how they retrieve.

    Attributes:
        vectors: representation -> (n, D).
        classes: int64 (n,).
        results: representation -> its numbers; `RAW` is the reference.
        chance: share of all patches of other images that have a patch's class, averaged as the
            shares are.
        scenes: their number.
    """

    vectors: Mapping[str, Floats]
    classes: NDArray[np.int64]
    results: Mapping[str, Retrieval]
    chance: float
    scenes: int


def retrieve(
    folder: Path, kinds: Sequence[str], *, scenes: int, patch: int, device: str = "cpu"
) -> Found:
    """Retrieve the patches of scenes of the split val by raw latents and by features."""
    model = load_autoencoder(part_file(folder, "autoencoder"))
    model.network.to(device)
    held = scene_patches(HELD_SEED, "val", scenes, SCENE, patch)
    features = {
        f"features, {kind}": load_features(part_file(folder, f"features-{kind}"), model.channels)
        for kind in kinds
    }
    check_together(folder, [f"features-{kind}" for kind in kinds])
    for each in features.values():
        each.network.to(device)
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in ("latent, mean", RAW, *features)}
    for number, image in enumerate(held.images):
        here = held.image == number
        if not here.any():
            continue
        place = held.top[here] // CELL, held.left[here] // CELL, patch // CELL
        latent = model.latent(image)
        values = latent / np.float32(SCALE)
        parts["latent, mean"].append(patch_means(values, *place))
        parts[RAW].append(patch_statistics(values, *place))
        for name, network in features.items():
            parts[name].append(patch_means(network.embedding(latent), *place))
    vectors = {name: np.concatenate(rows) for name, rows in parts.items()}
    shares = {n: same_class_share(rows, held.classes, held.image) for n, rows in vectors.items()}
    results = compare(shares, held.image, reference=RAW)
    by_chance = {"chance": chance_share(held.classes, held.image)}
    chance = compare(by_chance, held.image, reference="chance")["chance"].share
    return Found(vectors, held.classes, results, chance, len(held.images))


def retrieval_table(found: Found) -> pd.DataFrame:
    """One row per representation: share of the 10 nearest neighbours that have the same class."""
    rows = []
    for name, result in found.results.items():
        row: dict[str, Any] = {"representation": name, "scenes": found.scenes}
        row |= {"patches": len(found.classes), "same_class": result.share}
        row |= {"same_class_lo": result.low, "same_class_hi": result.high}
        row |= {"gain": result.gain, "gain_lo": result.gain_low, "gain_hi": result.gain_high}
        rows.append(row | {"chance": found.chance})
    return pd.DataFrame(rows)


def embedding_map(found: Found) -> Figure:
    """t-SNE of the raw latents and of the first kind of features, side by side."""
    names = [RAW, next(name for name in found.vectors if name.startswith("features"))]
    points = {name: tsne(found.vectors[name], seed=1) for name in names}
    title = "Patches of held-out scenes by class (t-SNE)"
    return embedding_figure(points, found.classes, list(SEMANTIC_CLASSES), title)
