"""Pseudo-labels: k-means clusters of patch descriptors, per tap of a VGG (DESIGN 5b).

The descriptors of training patches at a tap are reduced by PCA and clustered. The cluster of a
patch is its pseudo-label, one per level, from fine texture (first tap) to coarse semantics (last
tap). They are the classes of the contrastive loss. A single level is of the descriptors of all
taps, concatenated.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.codecs.mpd.model_folder import ALL_TAPS, TAPS
from icmbench.codecs.mpd.training.clusters import Level
from icmbench.codecs.mpd.training.descriptors import KINDS, descriptor
from icmbench.core.errors import ConfigError, DatasetError, ModelError
from icmbench.core.files import seed_from
from icmbench.core.progress import progress
from icmbench.models.latent import CELL
from icmbench.models.tensors import Arrays, load_arrays, save_arrays
from icmbench.training.images import image_shapes

BATCH: Final = 32  # patches that go through the network together

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Image = NDArray[np.uint8]
Taps = Callable[[torch.Tensor], Sequence[torch.Tensor]]  # of pixels (n, 3, H, W) in [-1, 1]


@dataclass(frozen=True)
class Patches:
    """Square patches of a sequence of images.

    Attributes:
        size: of the side, in pixels.
        image: int64 (n,), index of each patch's image.
        top, left: int64 (n,), in pixels, multiples of a latent cell's side.
    """

    size: int
    image: Ints
    top: Ints
    left: Ints

    def __len__(self) -> int:
        return self.image.size

    def cut(self, images: Sequence[Image], chosen: slice | Ints | None = None) -> Image:
        """The pixels of the chosen patches, or of all: uint8 (n, size, size, 3)."""
        out = []
        for index in np.arange(len(self))[slice(None) if chosen is None else chosen].tolist():
            top, left = int(self.top[index]), int(self.left[index])
            image = images[int(self.image[index])]
            out.append(image[top : top + self.size, left : left + self.size])
        return np.stack(out)


@dataclass(frozen=True)
class PseudoLabels:
    """Pseudo-labels of patches of the training data.

    Attributes:
        patches: of the training images.
        kind: of the descriptors.
        levels: one per tap, fine to coarse; or a single one of all taps' descriptors.
        pool: digest of the training data.
        weights: digest of the weights of the network whose taps were clustered.
        network: its settings, as plain values.
    """

    patches: Patches
    kind: str
    levels: tuple[Level, ...]
    pool: str
    weights: str
    network: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the levels."""
        return TAPS if len(self.levels) > 1 else (ALL_TAPS,)

    def save(self, path: Path) -> None:
        """Write a file that `load` reads; equal labels give equal bytes."""
        arrays: Arrays = {name: getattr(self.patches, name) for name in _PATCHES}
        for number, level in enumerate(self.levels):
            arrays |= {f"level{number}.{name}": getattr(level, name) for name in _LEVEL}
            arrays[f"level{number}.counts"] = np.array(level.counts, np.int64)
        metadata = {
            "size": self.patches.size,
            "kind": self.kind,
            "kept": [level.kept for level in self.levels],
            "pool": self.pool,
            "weights": self.weights,
            "network": dict(self.network),
        }
        save_arrays(path, arrays, metadata)

    @classmethod
    def load(cls, path: Path) -> PseudoLabels:
        """Read what `save` wrote.

        Raises ModelError naming the file and the array or metadata that is missing, of another
        type or shape, outside its range or unknown.
        """
        arrays, metadata = load_arrays(path)
        try:
            size, kind = int(metadata["size"]), str(metadata["kind"])
            kept = [float(value) for value in metadata["kept"]]
            pool, weights = str(metadata["pool"]), str(metadata["weights"])
            network = dict(metadata["network"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path}: its metadata is incomplete: {error}") from error
        if kind not in KINDS:
            raise ModelError(f"{path}: the kind of its descriptors is {kind!r}, not known")
        if size < CELL or size % CELL:
            raise ModelError(f"{path}: its patches are of {size} pixels, no multiple of {CELL}")
        take = _Taker(path, arrays)
        image = take("image", np.int64, (None,))
        top, left = (take(name, np.int64, image.shape, step=CELL) for name in ("top", "left"))
        levels = tuple(
            _take_level(take, number, share, image.size) for number, share in enumerate(kept)
        )
        take.finish()
        return cls(Patches(size, image, top, left), kind, levels, pool, weights, network)


_PATCHES: Final = ("image", "top", "left")
_LEVEL: Final = ("inertia", "mean", "components", "centres", "labels")


def draw_patches(images: Sequence[Image], count: int, size: int, seed: int) -> Patches:
    """Draw different patches at random, as evenly over images, uint8 (H, W, 3), as they allow.

    Images below `size` get none. Patches come in the order of image, row and column.

    Raises ConfigError for a size that is no multiple of a latent cell's side, DatasetError where
    the images have fewer than `count` places for a patch.
    """
    if size < CELL or size % CELL:
        raise ConfigError(f"patches of {size} pixels: the size is a multiple of {CELL}")
    rng = np.random.default_rng(seed_from("patches", seed))
    grids = np.maximum((image_shapes(images) - size) // CELL + 1, 0)
    places = grids.prod(axis=1)
    if places.sum() < count:
        raise DatasetError(f"the images have {places.sum()} places for a patch, {count} are asked")
    share = np.zeros(len(images), np.int64)
    while (left := count - int(share.sum())) > 0:
        able = np.flatnonzero(share < places)
        share[able if able.size <= left else rng.choice(able, left, replace=False)] += 1
    image = np.repeat(np.arange(len(images)), share)
    drawn = [
        np.sort(rng.choice(total, part, replace=False))
        for total, part in zip(places.tolist(), share.tolist(), strict=True)
        if part
    ]
    place = np.concatenate(drawn) if drawn else np.empty(0, np.int64)
    columns = grids[image, 1]
    return Patches(size, image, place // columns * CELL, place % columns * CELL)


def patch_descriptors(
    taps: Taps, images: Sequence[Image], patches: Patches, kind: str, *, joined: bool = False
) -> list[Floats]:
    """Per tap the descriptors of all patches, float32 (n, D); every patch goes through alone.

    Args:
        joined: one level, the descriptors of all taps concatenated.
        taps: gives the tap tensors, (n, C, h, h) each, of pixels, float32 (n, 3, size, size) in
            [-1, 1].

    Raises ModelError where a tap is not finite, DatasetError where there are no patches.
    """
    if not len(patches):
        raise DatasetError("there are no patches to describe")
    batches = list(
        progress(
            _described(taps, images, patches, kind, joined=joined),
            desc="descriptors",
            unit="batch",
            total=-(-len(patches) // BATCH),
        )
    )
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def label_maps(
    taps: Taps, image: Image, levels: Sequence[Level], size: int, stride: int, kind: str
) -> list[Ints]:
    """Labels of patches on a grid over an image, int64 (rows, columns) per level.

    The patch of row i and column j has its top left corner at (i, j) * stride.

    Raises ConfigError for a stride that is not positive, DatasetError for an image below a patch.
    """
    if stride < 1:
        raise ConfigError(f"a stride of {stride} pixels: it is at least 1")
    height, width = image.shape[:2]
    if min(height, width) < size:
        raise DatasetError(f"an image of {width} x {height} pixels has no patch of {size}")
    top, left = np.arange(0, height - size + 1, stride), np.arange(0, width - size + 1, stride)
    rows, columns = (part.ravel() for part in np.meshgrid(top, left, indexing="ij"))
    patches = Patches(size, np.zeros(rows.size, np.int64), rows, columns)
    # Batch by batch: the descriptors of a large image would fill the memory.
    labels = [
        [level.assign(part) for level, part in zip(levels, batch, strict=True)]
        for batch in _described(taps, [image], patches, kind, joined=len(levels) == 1)
    ]
    return [
        np.concatenate(parts).reshape(top.size, left.size) for parts in zip(*labels, strict=True)
    ]


def _described(
    taps: Taps, images: Sequence[Image], patches: Patches, kind: str, *, joined: bool
) -> Iterator[list[Floats]]:
    """Batch by batch the descriptors of every tap, or those of all taps concatenated."""
    for start in range(0, len(patches), BATCH):
        pixels = patches.cut(images, slice(start, start + BATCH)).transpose(0, 3, 1, 2)
        values = torch.from_numpy(pixels / np.float32(127.5) - np.float32(1)).contiguous()
        with torch.inference_mode():
            batch = [descriptor(tap, kind).cpu().numpy() for tap in taps(values)]
        for number, part in enumerate(batch):
            if not np.isfinite(part).all():
                raise ModelError(f"tap {number} of the network is not finite on some patch")
        yield [np.concatenate(batch, axis=1)] if joined else batch


class _Taker:
    """Takes arrays out of a file's, one by one, checking each."""

    def __init__(self, path: Path, arrays: Arrays) -> None:
        self.path, self.arrays = path, dict(arrays)

    def __call__(
        self,
        name: str,
        kind: type,
        shape: tuple[int | None, ...],
        step: int = 1,
        below: int | None = None,
    ) -> NDArray[Any]:
        """An array of a type and shape (None: any length but 0).

        Integers are multiples of `step` from 0 on, and less than `below`.
        """
        if name not in self.arrays:
            raise ModelError(f"{self.path}: array {name!r} is missing")
        array = self.arrays.pop(name)
        if array.dtype != kind:
            wanted = np.dtype(kind).name
            raise ModelError(f"{self.path}: array {name!r} is {array.dtype}, expected {wanted}")
        pairs = itertools.zip_longest(array.shape, shape, fillvalue=-1)
        if any(length != want if want is not None else length < 1 for length, want in pairs):
            lengths = f"{array.shape}, expected {shape}"
            raise ModelError(f"{self.path}: array {name!r} has the shape {lengths}")
        if kind is np.int64:
            wrong = (array < 0) | (array % step != 0)
            if below is not None:
                wrong |= array >= below
            if wrong.any():
                value = array[wrong].flat[0]
                raise ModelError(f"{self.path}: array {name!r} holds {value}, out of its range")
        return array

    def finish(self) -> None:
        """Nothing may be left."""
        for name in self.arrays:
            raise ModelError(f"{self.path}: array {name!r} is not one of pseudo-labels")


def _take_level(take: _Taker, number: int, kept: float, patches: int) -> Level:
    name = f"level{number}."
    counts = take(f"{name}counts", np.int64, (None,))
    inertia = take(f"{name}inertia", np.float64, counts.shape)
    mean = take(f"{name}mean", np.float32, (None,))
    components = take(f"{name}components", np.float32, (None, mean.size))
    centres = take(f"{name}centres", np.float32, (None, len(components)))
    if len(centres) not in counts:
        raise ModelError(f"{take.path}: array '{name}centres' is of a count that was not tried")
    labels = take(f"{name}labels", np.int64, (patches,), below=len(centres))
    return Level(tuple(counts.tolist()), inertia, kept, mean, components, centres, labels)
