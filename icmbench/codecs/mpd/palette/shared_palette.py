"""The `dataset` palette: one hierarchy for all images, shipped with the model (DESIGN 5d)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from icmbench.codecs.mpd.palette.hierarchy import MAX_LEAVES, Hierarchy, build_hierarchy
from icmbench.codecs.mpd.palette.plan import split_states
from icmbench.codecs.mpd.stream import contexts as ctx
from icmbench.codecs.mpd.stream.section import LATENT_BOUND, Plan
from icmbench.core.errors import ConfigError

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SharedPalette:
    """A hierarchy of the training data without cells, and the means of its nodes.

    Attributes:
        left, right: int64 (K-1,), as in `Hierarchy`; left is the smaller one in the training data.
        means: int64 (2K-1, C), in 1/256 of an int8 step.
    """

    left: Ints
    right: Ints
    means: Ints

    def hierarchy(self, latent: NDArray[np.int16]) -> Hierarchy:
        """The hierarchy with every cell of `latent`, (h, w, C), assigned to its nearest leaf."""
        leaves = self.left.size + 1
        flat = latent.reshape(-1, latent.shape[2]).astype(np.float64)
        best = np.full(len(flat), np.inf)
        labels = np.zeros(len(flat), np.int64)
        for leaf in range(leaves):
            error = ((flat - self.means[leaf]) ** 2).sum(axis=1)
            closer = error < best
            best[closer], labels[closer] = error[closer], leaf
        heights = np.arange(leaves - 1, dtype=np.float64)
        return Hierarchy(self.left, self.right, heights, labels)

    def plan(self, limits: list[int], labels: Ints | None) -> Plan:
        """The plan of both sides; the decoder's has no `labels` (h, w)."""
        leaves = self.left.size + 1
        nodes = 2 * leaves - 1
        # Plan nodes run from the root down, so that node 0 is the root.
        turn = nodes - 1 - np.arange(nodes)
        first, second, state = (np.full(nodes, -1, np.int64) for _ in range(3))
        first[turn[leaves:]], second[turn[leaves:]] = turn[self.left], turn[self.right]
        state[turn[leaves:]] = split_states(leaves, limits)
        place = np.zeros(nodes, np.int64)
        middle = np.zeros(nodes, np.int64)
        size = np.ones(nodes, np.int64)
        for node in range(nodes - 1, -1, -1):
            if first[node] >= 0:
                size[node] = size[first[node]] + size[second[node]]
        for node in range(nodes):
            if first[node] >= 0:
                place[first[node]] = place[node]
                middle[node] = place[second[node]] = place[node] + size[first[node]]
        none = np.zeros((0, 0), np.int64)
        return Plan(
            first,
            second,
            state,
            middle,
            np.ascontiguousarray(self.means[turn]),
            np.ones(nodes, np.int64),
            none if labels is None else place[turn[labels]],
            np.zeros(ctx.MAX_NODES, np.int64),
            np.ones(1, np.int64),
        )

    def arrays(self) -> dict[str, NDArray[np.int32]]:
        """Arrays of the weight file."""
        names = {"left": self.left, "right": self.right, "means": self.means}
        return {f"palette.{name}": array.astype(np.int32) for name, array in names.items()}

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[np.int32]], channels: int) -> SharedPalette:
        """Inverse of `arrays`; ConfigError where they are no hierarchy for such a latent."""
        found = [arrays[f"palette.{name}"] for name in ("left", "right", "means")]
        if any(array.dtype != np.int32 for array in found):
            raise ConfigError("the model's palette is not of int32")
        left, right, means = (array.astype(np.int64) for array in found)
        leaves = left.size + 1
        made = np.sort(np.concatenate([left, right]))
        if means.ndim != 2 or len(means) != 2 * leaves - 1 or leaves > MAX_LEAVES:
            raise ConfigError("the model's palette is not a hierarchy of at most 256 leaves")
        if means.shape[1] != channels or np.abs(means).max() > 2 * LATENT_BOUND:
            raise ConfigError(f"the model's palette is not one of {channels} channels in range")
        below = np.arange(leaves, 2 * leaves - 1)
        if right.size != left.size or (made != np.arange(2 * leaves - 2)).any():
            raise ConfigError("the model's palette: a node has no parent, or several")
        if (left >= below).any() or (right >= below).any():
            raise ConfigError("the model's palette: a node comes before its children")
        return cls(left, right, means)


def make_shared_palette(latents: list[NDArray[np.int16]]) -> SharedPalette:
    """Cluster the cells of many latents, each int16 (h, w, C), into one hierarchy."""
    points = np.concatenate([latent.reshape(-1, latent.shape[2]) for latent in latents])
    hierarchy = build_hierarchy(points, MAX_LEAVES)
    leaves = hierarchy.leaves
    sums = np.zeros((2 * leaves - 1, points.shape[1]), np.int64)
    counts = np.zeros(2 * leaves - 1, np.int64)
    counts[:leaves] = np.bincount(hierarchy.labels, minlength=leaves)
    np.add.at(sums, hierarchy.labels, points.astype(np.int64))
    left, right = hierarchy.left.copy(), hierarchy.right.copy()
    for merge in range(leaves - 1):
        if counts[left[merge]] > counts[right[merge]]:
            left[merge], right[merge] = right[merge], left[merge]
        pair = [left[merge], right[merge]]
        counts[leaves + merge], sums[leaves + merge] = counts[pair].sum(), sums[pair].sum(0)
    means = (2 * sums + counts[:, None]) // (2 * counts[:, None])
    return SharedPalette(left, right, means)
