"""From clusters to the coded tree: smaller child first, without empty leaves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from icmbench.codecs.mpd.palette.hierarchy import Hierarchy
from icmbench.codecs.mpd.stream import contexts as ctx
from icmbench.codecs.mpd.stream.section import Plan

Ints = NDArray[np.int64]


def split_states(leaves: int, limits: Sequence[int]) -> Ints:
    """int64 (leaves - 1,): per merge, the coarsest state in which it is undone.

    State t keeps `min(limits[t], leaves)` entries, so its last `K_t - 1` merges are undone.
    """
    needed = leaves - np.arange(leaves - 1)  # entries from which on merge i is undone
    kept = np.minimum(np.asarray(limits), leaves)
    return np.asarray((kept[None, :] >= needed[:, None]).sum(axis=1) - 1, np.int64)


def make_plan(
    hierarchy: Hierarchy,
    labels: Ints,
    latent: NDArray[np.int16],
    states: Ints,
    closed: NDArray[np.bool_] | None = None,
) -> Plan:
    """The plan of a labelled latent.

    Args:
        labels: int64 (h, w), leaf of every cell: the hierarchy's own or better ones.
        latent: int16 (h, w, C).
        states: of `split_states`.
        closed: per merge, whether it is never undone.
    """
    leaves = hierarchy.leaves
    flat = labels.ravel()
    sums = np.zeros((2 * leaves - 1, latent.shape[2]), np.int64)
    counts = np.zeros(2 * leaves - 1, np.int64)
    counts[:leaves] = np.bincount(flat, minlength=leaves)
    for channel, column in enumerate(latent.reshape(-1, latent.shape[2]).T):
        exact = np.bincount(flat, column.astype(np.float64), leaves)
        sums[:leaves, channel] = exact.astype(np.int64)
    for merge in range(leaves - 1):
        a, b = hierarchy.left[merge], hierarchy.right[merge]
        counts[leaves + merge] = counts[a] + counts[b]
        sums[leaves + merge] = sums[a] + sums[b]

    def split_node(node: int) -> int:
        """The node itself, or the only non-empty one below it that is split or a leaf."""
        while node >= leaves:
            merge = node - leaves
            a, b = int(hierarchy.left[merge]), int(hierarchy.right[merge])
            if (closed is not None and closed[merge]) or (counts[a] and counts[b]):
                return node
            node = a if counts[a] else b
        return node

    order: list[int] = []
    first: list[int] = []
    second: list[int] = []
    state: list[int] = []
    pending = [(2 * leaves - 2, -1, 0)]
    while pending:
        node, parent, side = pending.pop()
        node = split_node(node)
        index = len(order)
        order.append(node)
        first.append(-1)
        second.append(-1)
        state.append(-1)
        if parent >= 0:
            (first if side == 0 else second)[parent] = index
        if node >= leaves and not (closed is not None and closed[node - leaves]):
            state[index] = int(states[node - leaves])
            a, b = int(hierarchy.left[node - leaves]), int(hierarchy.right[node - leaves])
            small, large = (b, a) if counts[b] < counts[a] else (a, b)
            pending += [(large, index, 1), (small, index, 0)]
    return _number_leaves(hierarchy, order, first, second, state, sums, counts, labels)


def _number_leaves(
    hierarchy: Hierarchy,
    order: list[int],
    first: list[int],
    second: list[int],
    state: list[int],
    sums: Ints,
    counts: Ints,
    labels: Ints,
) -> Plan:
    """Positions of the leaves from left to right; `order` is a pre-order, first child first."""
    leaves = hierarchy.leaves
    final_leaf = {node: index for index, node in enumerate(order)}
    owner = np.full(2 * leaves - 1, -1)
    for node in range(2 * leaves - 2, -1, -1):  # a node's merge comes behind it: parents first
        if node in final_leaf and first[final_leaf[node]] < 0:
            owner[node] = final_leaf[node]
        if node >= leaves and owner[node] >= 0:
            owner[hierarchy.left[node - leaves]] = owner[node]
            owner[hierarchy.right[node - leaves]] = owner[node]
    position = np.zeros(len(order), np.int64)
    ends = np.zeros(len(order), np.int64)
    middle = np.zeros(len(order), np.int64)
    place = 0
    for index in range(len(order)):  # pre-order visits leaves from left to right
        if first[index] < 0:
            position[index] = place
            place += 1
    for index in range(len(order) - 1, -1, -1):
        if first[index] < 0:
            ends[index] = position[index] + 1
        else:
            ends[index] = ends[second[index]]
            middle[index] = ends[first[index]]
    return Plan(
        np.array(first, np.int64),
        np.array(second, np.int64),
        np.array(state, np.int64),
        middle,
        sums[order],
        counts[order],
        position[owner[labels]],
        np.zeros(ctx.MAX_NODES, np.int64),
        np.zeros(1, np.int64),
    )
