"""The palette of one image and its hierarchy: the forward diffusion process of MPD (DESIGN 5d).

Points are int16 rows `[z ; sqrt(alpha) f]`, one per latent cell: latent and clustering features.
They are clustered by weighted Ward agglomeration into at most 256 leaves and a binary tree over
them. Diffusion state t has K_t = ceil(K_0 2^-t) palette entries. The cost is linear in the number
of cells: more than 2,048 distinct points are first reduced to 2,048 k-means clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.core.jit import compiled

MAX_LEAVES: Final = 256
COARSE_LEAVES: Final = 2048
STATES: Final = 8
_LLOYD: Final = 2  # rounds of k-means; the agglomeration behind it forgives the rest
_SHIFT: Final = 3  # points of 16 bits lose 3 here, so that squared distances fit 32 bits
_NARROW: Final = 32  # coordinates up to which they do: (2^13 - 1)^2 times 32 is below 2^31

Ints = NDArray[np.int64]


def leaf_limit(cells: int) -> int:
    """K_0 = min(256, cells / 4), at least 1."""
    return max(1, min(MAX_LEAVES, cells // 4))


def entry_limits(cells: int) -> list[int]:
    """K_t = ceil(K_0 2^-t) for t = 0...7."""
    leaves = leaf_limit(cells)
    return [-(-leaves >> t) for t in range(STATES)]


@dataclass(frozen=True)
class Hierarchy:
    """A binary tree over palette leaves and the leaf of every cell.

    Nodes 0 to K-1 are leaves; node K+i is made by the i-th merge, the last one is the root.

    Attributes:
        left, right: int64 (K-1,), the nodes that each merge joins.
        heights: float64 (K-1,), squared Ward distance of each merge, ascending.
        labels: int64 (cells,), the leaf of each cell.
    """

    left: Ints
    right: Ints
    heights: NDArray[np.float64]
    labels: Ints

    @property
    def leaves(self) -> int:
        """K, the number of leaves."""
        return self.left.size + 1

    def entries(self, count: int) -> Ints:
        """int64 (K,): the palette entry of every leaf in a palette of `count` entries.

        The last `count - 1` merges are undone. Entries are named by their smallest leaf, in
        ascending order from 0.
        """
        count = min(count, self.leaves)
        owner = np.arange(2 * self.leaves - 1)
        for merge in range(self.leaves - 2, -1, -1):
            if merge < self.leaves - count:
                node = self.leaves + merge
                owner[self.left[merge]] = owner[self.right[merge]] = owner[node]
        _, names = np.unique(owner[: self.leaves], return_inverse=True)
        firsts = np.full(names.max() + 1, self.leaves)
        np.minimum.at(firsts, names, np.arange(self.leaves))
        rank = np.empty_like(firsts)
        rank[np.argsort(firsts)] = np.arange(firsts.size)
        return np.asarray(rank[names], np.int64)


def build_hierarchy(points: NDArray[np.int16], leaves: int) -> Hierarchy:
    """Cluster points, int16 (cells, d), into at most `leaves` leaves and their hierarchy.

    Points that differ by less than 8 (1/32 of an int8 step) may be merged before. The number of
    leaves is at most that of the distinct points.
    """
    reduced = np.ascontiguousarray(points >> _SHIFT)
    distinct, owner, counts = _distinct(reduced)
    if len(distinct) > COARSE_LEAVES:
        groups = _gather(distinct, counts.astype(np.int64), COARSE_LEAVES)
        owner = groups[owner]
        distinct_sums, counts = _sums(reduced, owner, int(groups.max()) + 1)
    else:
        distinct_sums = distinct.astype(np.int64) * counts[:, None]
    left, right, heights = ward(distinct_sums, counts)
    total = len(counts)
    keep = min(leaves, total)
    top = total - keep  # merges below the palette's leaves
    group = np.arange(2 * total - 1)
    for merge in range(total - 2, -1, -1):
        if merge < top:
            group[left[merge]] = group[right[merge]] = group[total + merge]
    _, leaf_of = np.unique(group[:total], return_inverse=True)
    name = {int(node): index for index, node in enumerate(np.unique(group[:total]))}
    for merge in range(top, total - 1):
        name[total + merge] = keep + merge - top
    return Hierarchy(
        np.array([name[int(node)] for node in left[top:]], np.int64),
        np.array([name[int(node)] for node in right[top:]], np.int64),
        heights[top:],
        np.asarray(leaf_of[owner], np.int64),
    )


def _distinct(points: NDArray[np.int16]) -> tuple[NDArray[np.int16], Ints, Ints]:
    """Distinct rows in lexicographic order, index of the row of every point, count of each row."""
    order = np.lexsort(points.T[::-1])
    ranked = points[order]
    fresh = np.ones(len(points), bool)
    fresh[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    owner = np.empty(len(points), np.int64)
    owner[order] = np.cumsum(fresh) - 1
    return ranked[fresh], owner, np.bincount(owner)


def _sums(points: NDArray[np.int16], owner: Ints, groups: int) -> tuple[Ints, Ints]:
    counts = np.bincount(owner, minlength=groups)
    sums = np.stack(
        [np.bincount(owner, column.astype(np.float64), groups) for column in points.T], axis=1
    )  # exact: sums of integers below 2^53
    return sums.astype(np.int64), counts


def _gather(points: NDArray[np.int16], weights: Ints, groups: int) -> Ints:
    """K-means cluster of every point: initialised by boxes of a k-d tree, then Lloyd iterations."""
    owner = _boxes(points, weights, groups)
    for _ in range(_LLOYD):
        sums = np.zeros((groups, points.shape[1]), np.int64)
        counts = np.zeros(groups, np.int64)
        np.add.at(sums, owner, points * weights[:, None])
        np.add.at(counts, owner, weights)
        filled = counts > 0
        centres = (sums[filled] // counts[filled, None]).astype(np.int32)
        distance = np.empty(len(centres), np.int32 if points.shape[1] <= _NARROW else np.int64)
        owner = _nearest(points.astype(np.int32), np.ascontiguousarray(centres.T), distance)
    _, owner = np.unique(owner, return_inverse=True)
    return np.asarray(owner, np.int64)


def _boxes(points: NDArray[np.int16], weights: Ints, groups: int) -> Ints:
    """Split points into boxes: halve the box of largest weighted spread along its widest side."""
    import heapq

    def spread(members: Ints) -> tuple[float, int]:
        values, share = points[members].astype(np.float64), weights[members]
        mean = (values * share[:, None]).sum(0) / share.sum()
        sides = (share[:, None] * (values - mean) ** 2).sum(0)
        return float(sides.max()), int(sides.argmax())

    everything = np.arange(len(points))
    size, side = spread(everything)
    heap = [(-size, 0, side, everything)]
    made = 1
    while made < groups:
        _, number, side, members = heapq.heappop(heap)
        order = members[np.argsort(points[members, side], kind="stable")]
        half = len(order) // 2
        for index, part in ((number, order[:half]), (made, order[half:])):
            size, side = spread(part)
            heapq.heappush(heap, (-size, index, side, part))
        made += 1
    owner = np.empty(len(points), np.int64)
    for _, number, _, members in heap:
        owner[members] = number
    return owner


@compiled
def _nearest(points: NDArray[np.int32], centres: NDArray[np.int32], distance: Any) -> Ints:
    """Index of the nearest of `centres` (d, k) for each point; ties go to the smaller index.

    `distance` (k) is scratch, of integers that hold the squared distances.
    """
    owner = np.empty(points.shape[0], np.int64)
    for i in range(points.shape[0]):
        distance[:] = 0
        for axis in range(points.shape[1]):
            value = points[i, axis]
            for j in range(centres.shape[1]):
                gap = centres[axis, j] - value
                distance[j] += gap * gap
        owner[i] = np.argmin(distance)
    return owner


def ward(sums: Ints, counts: Ints) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """Weighted Ward agglomeration of groups given by their sums (n, d) and counts (n,).

    Returns left, right and heights of the n-1 merges in ascending order of height; merge i makes
    node n+i. The height is `n_a n_b / (n_a + n_b) |mean_a - mean_b|^2` (Ward 1963): the growth of
    the summed squared error. Ties go to the smaller index.
    """
    if len(counts) == 1:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    first, second, heights = _chain(sums.astype(np.float64), counts.astype(np.float64))
    order = np.argsort(heights, kind="stable")
    # The chain names a group by the slot it lies in; nodes are named in the order of heights.
    node = np.arange(len(counts))
    left, right = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
    for index, merge in enumerate(order):
        a, b = first[merge], second[merge]
        left[index], right[index] = node[a], node[b]
        node[a] = len(counts) + index
    return left, right, heights[order]


@compiled
def _chain(
    sums: NDArray[np.float64], counts: NDArray[np.float64]
) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """Nearest-neighbour chain (Murtagh 1983): merges as (kept slot, freed slot, height)."""
    n, dims = sums.shape
    sums = sums.copy()
    counts = counts.copy()
    means = np.empty((dims, n))  # of the slots that are alive, packed at the front
    weight = np.empty(n)
    slot = np.arange(n)
    for i in range(n):
        weight[i] = counts[i]
        for d in range(dims):
            means[d, i] = sums[i, d] / counts[i]
    alive = n
    place = np.arange(n)  # of each slot in the packed arrays
    first = np.empty(n - 1, np.int64)
    second = np.empty(n - 1, np.int64)
    heights = np.empty(n - 1)
    tall = np.zeros(n)  # height of each slot's last merge
    chain = np.empty(n, np.int64)
    length = 0
    done = 0
    distance = np.empty(n)
    while done < n - 1:
        if length == 0:
            smallest = slot[0]
            for i in range(1, alive):
                smallest = min(smallest, slot[i])
            chain[0] = smallest
            length = 1
        tip = chain[length - 1]
        at = place[tip]
        _distances(means, weight, alive, at, distance)
        distance[at] = np.inf
        best = 0
        for i in range(1, alive):
            if distance[i] < distance[best] or (
                distance[i] == distance[best] and slot[i] < slot[best]
            ):
                best = i
        if length > 1 and distance[place[chain[length - 2]]] == distance[best]:
            best = place[chain[length - 2]]
        near = slot[best]
        if length > 1 and near == chain[length - 2]:
            a, b = min(tip, near), max(tip, near)
            # Where heights tie, rounding must not put a merge below those it is made of.
            tall[a] = max(distance[best], tall[a], tall[b])
            first[done], second[done], heights[done] = a, b, tall[a]
            done += 1
            length -= 2
            counts[a] += counts[b]
            weight[place[a]] = counts[a]
            for d in range(dims):
                sums[a, d] += sums[b, d]
                means[d, place[a]] = sums[a, d] / counts[a]
            alive -= 1
            hole, last = place[b], slot[alive]
            slot[hole], weight[hole], place[last] = last, weight[alive], hole
            for d in range(dims):
                means[d, hole] = means[d, alive]
        else:
            chain[length] = near
            length += 1
    return first, second, heights


@compiled
def _distances(
    means: NDArray[np.float64],
    weight: NDArray[np.float64],
    alive: int,
    at: int,
    distance: NDArray[np.float64],
) -> None:
    distance[:alive] = 0.0
    for d in range(means.shape[0]):
        value = means[d, at]
        for i in range(alive):
            gap = means[d, i] - value
            distance[i] += gap * gap
    own = weight[at]
    for i in range(alive):
        distance[i] *= own * weight[i] / (own + weight[i])
