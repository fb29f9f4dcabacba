"""Comparison of VGGs by the classes of a patch's nearest neighbours, per tap.

Patches of the scenes' validation split, which nothing is trained on; a patch's class is the one
that most of its pixels have, its feature a tap's mean per channel. Shown is the share of the
nearest patches of other images (by cosine, around the mean of all features, as PCA would see them)
that are of the same class, its mean over images and a 95 % bootstrap interval over images; `gain`
is the difference from the first network, with an interval of its own.

    python tools/vgg_check.py WEIGHTS... [--untrained] [--scenes 40] [--out check.csv]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from icmbench.codecs.mpd.networks.vgg import TAPS, VggSettings, build_vgg, load_vgg, taps
from icmbench.reporting.statistics.bootstrap import interval, resample_indices, resampled_means
from icmbench.scenes import render_scene
from icmbench.scenes.labels import IGNORE

SEED, SPLIT, SIZE = 1, "val", 256  # of the scenes
RESAMPLES = 2000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def patch_class(semantic: NDArray[np.uint8]) -> int | None:
    """The class of most pixels of a semantic map; the smaller of two equals; None: unknown."""
    counts = np.bincount(semantic[semantic != IGNORE], minlength=1)
    return int(counts.argmax()) if counts.sum() else None


def val_patches(scenes: int, side: int) -> tuple[NDArray[np.float32], Ints, Ints]:
    """Patches (n, 3, side, side) in [-1, 1] on a grid over the scenes, their classes and scenes."""
    patches, classes, images = [], [], []
    for index in tqdm(range(scenes), desc="scenes", unit="scene", disable=None):
        scene = render_scene(SEED, SPLIT, index, SIZE, SIZE)
        for top in range(0, SIZE - side + 1, side):
            for left in range(0, SIZE - side + 1, side):
                place = (slice(top, top + side), slice(left, left + side))
                label = patch_class(scene.semantic[place])
                if label is not None:
                    pixels = scene.image[place].transpose(2, 0, 1) / np.float32(127.5)
                    patches.append(pixels - np.float32(1))
                    classes.append(label)
                    images.append(index)
    return np.stack(patches), np.array(classes), np.array(images)


def pooled(network: torch.nn.Module, patches: NDArray[np.float32], batch: int = 32) -> list[Floats]:
    """Mean per channel of every tap, (n, C) each."""
    parts: list[list[Floats]] = [[] for _ in TAPS]
    with torch.inference_mode():
        for at in range(0, len(patches), batch):
            found = taps(network, torch.from_numpy(patches[at : at + batch]))
            for part, tap in zip(parts, found, strict=True):
                part.append(tap.mean((2, 3)).double().numpy())
    return [np.concatenate(part) for part in parts]


def agreement(
    features: Floats, classes: Ints, images: Ints, neighbours: int, centred: bool = True
) -> Floats:
    """Per patch, the share of its nearest patches of other images that are of its class, (n,).

    Args:
        features: (n, C).
        classes, images: of the patches, (n,).
        neighbours: how many; ties go to the smaller index.
        centred: take the mean of all features off first.
    """
    values = features - features.mean(0) if centred else features
    length = np.linalg.norm(values, axis=1, keepdims=True)
    unit = values / np.maximum(length, np.finfo(float).tiny)
    distance = 1 - unit @ unit.T
    distance[images[:, None] == images] = np.inf
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :neighbours]
    return np.asarray((classes[nearest] == classes[:, None]).mean(1))


def image_means(values: Floats, images: Ints) -> Floats:
    """Mean of the patches' values for every image that has patches, in ascending order."""
    _, owner = np.unique(images, return_inverse=True)
    return np.asarray(np.bincount(owner, values) / np.bincount(owner))


def summarise(scores: dict[str, dict[str, Floats]]) -> pd.DataFrame:
    """One row per network and tap from the per-image scores `{network: {tap: (images,)}}`.

    The row `all` is of the mean over taps.
    """
    first = next(iter(scores.values()))
    images = len(next(iter(first.values())))
    drawn = resample_indices(images, RESAMPLES, seed=SEED, dataset="scenes")
    rows = []
    for network, found in scores.items():
        for tap in (*found, "all"):
            ours, theirs = (
                np.mean([*one.values()], axis=0) if tap == "all" else one[tap]
                for one in (found, first)
            )
            low, high = interval(resampled_means(ours, drawn))
            worse, better = interval(resampled_means(ours - theirs, drawn))
            rows.append(
                {
                    "network": network, "tap": tap,
                    "mean": ours.mean(), "low": low, "high": high,
                    "gain": (ours - theirs).mean(), "gain_low": worse, "gain_high": better,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def check(
    networks: Sequence[tuple[str, torch.nn.Module]],
    scenes: int,
    side: int,
    neighbours: int,
    centred: bool,
) -> pd.DataFrame:
    """The table of `summarise` for networks on validation patches; prints what chance would be."""
    patches, classes, images = val_patches(scenes, side)
    share = np.bincount(classes) / len(classes)
    print(
        f"{len(classes)} patches of {scenes} scenes, {(share > 0).sum()} classes; "
        f"drawn at random {np.square(share).sum():.3f} agree"
    )
    scores: dict[str, dict[str, Floats]] = {}
    for name, network in networks:
        scores[name] = {}
        for tap, values in zip(TAPS, pooled(network, patches), strict=True):
            found = agreement(values, classes, images, neighbours, centred)
            scores[name][tap] = image_means(found, images)
    return summarise(scores)


def main() -> None:
    """Compare the given files, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("weights", type=Path, nargs="*", help=".safetensors or .pth")
    parser.add_argument("--untrained", action="store_true", help="random weights as the first")
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--patch", type=int, default=64, help="side in pixels")
    parser.add_argument("--neighbours", type=int, default=5)
    parser.add_argument("--raw", action="store_true", help="cosine around zero, not the mean")
    parser.add_argument("--out", type=Path, help="CSV")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    networks = [("untrained", build_vgg(VggSettings(), 1))] if arguments.untrained else []
    networks += [(path.stem, load_vgg(path)) for path in arguments.weights]
    if len(dict(networks)) != len(networks) or not networks:
        parser.error("files of different names are needed, or --untrained")
    table = check(
        networks, arguments.scenes, arguments.patch, arguments.neighbours, not arguments.raw
    )
    if arguments.out:
        table.to_csv(arguments.out, index=False)
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
