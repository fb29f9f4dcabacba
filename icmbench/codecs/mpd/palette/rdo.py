"""Rate-distortion optimisation of one stream: labels, pruning, precision of offsets (DESIGN 5g).

The label of a cell is the index of its palette entry. The cost is the sum over the diffusion states
t of `D_t / lambda_t + R_t`, in bits. The stream is embedded: the bits of a coarse section count for
every finer state, and the error of a cell counts in every state. The rate of a label is modelled by
a Markov random field: each binary decision of the hierarchy has a probability, counted on the
labels, given the decisions of the four neighbours at the same node. Cells are visited in turn
(iterated conditional modes, Besag 1986).

D_t is the squared error of the latent, each channel with a weight (`metric`), and where the labels
are to keep the clustering features (`kept`), the squared error of these beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from icmbench.codecs.mpd.palette.hierarchy import STATES, Hierarchy
from icmbench.core.jit import compiled
from icmbench.models.latent import SCALE

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# The distortion of a palette falls with its rate R as 2^(-2R/d), so that the slope dD/dR is a fixed
# share of the distortion: 0.30 to 0.36 per bit, measured between states on training photographs.
SLOPE: Final = 0.33
SWEEPS: Final = 3
_BINS: Final = 6  # classes of a node by the share of its smaller child
_OFFSET_BITS: Final = 2.2  # of one channel of an offset, for the pruning's estimate
_SHAPE_BITS: Final = 1.5


class Tree(NamedTuple):
    """The hierarchy as arrays for compiled code; nodes as in `Hierarchy`.

    Attributes:
        left, right: int64 (K-1,), of merges. state: int64 (K-1,), coarsest state split.
        parent: int64 (2K-1,), -1 at the root.
        reach: float64 (2K-1,), sum of 1/lambda_t over the states whose entry the node is.
        closed: bool (K-1,), pruned merges, which no state undoes.
    """

    left: Ints
    right: Ints
    state: Ints
    parent: Ints
    reach: Floats
    closed: NDArray[np.bool_]


def optimise(
    hierarchy: Hierarchy,
    latent: NDArray[np.int16],
    states: Ints,
    strength: float,
    fixed: Floats | None = None,
    metric: Floats | None = None,
    kept: NDArray[np.int16] | None = None,
) -> tuple[Ints, NDArray[np.bool_], list[int], float]:
    """Optimise labels, pruned merges and the precision of offsets for rate and distortion.

    Args:
        latent: int16 (h, w, C).
        states: per merge, the coarsest state in which it is undone.
        strength: factor of every lambda_t; 0 changes neither labels nor merges.
        fixed: float64 (2K-1, C), means of the `dataset` palette: they are not updated and no merge
            is pruned, because its entries cost no bits. None: a palette per image.
        metric: float64 (C,), weights of the channels' squared errors; None: 1.
        kept: int16 (h, w, d), features whose squared error, from their mean over an entry, counts
            beside the latent's; not with `fixed`. None: the latent alone.

    Returns:
        Labels int64 (h, w); bool (K-1,), True for pruned merges, which no state undoes; per state,
        log2 of the unit of the offsets; lambda_0 in squared latent units per bit.
    """
    shape, channels = latent.shape[:2], latent.shape[2]
    labels = hierarchy.labels.reshape(shape).copy()
    parent = _parents(hierarchy)
    closed = np.zeros(hierarchy.leaves - 1, bool)
    plain, _ = _means(hierarchy, labels, latent.astype(np.float64))
    slopes = _lambdas(hierarchy, latent, plain if fixed is None else fixed, labels, states)
    slopes *= strength or 1.0
    values = _coordinates(latent, metric, kept)
    if fixed is not None:
        fixed = _coordinates(fixed[None], metric, None)[0]
    means, counts = _means(hierarchy, labels, values)
    means = means if fixed is None else fixed
    lambdas = _lambdas(hierarchy, values, means, labels, states) * (strength or 1.0)
    if strength > 0 and hierarchy.leaves > 1:
        for sweep in range(SWEEPS):
            reach = _reach(hierarchy, parent, states, lambdas, closed)
            tree = Tree(hierarchy.left, hierarchy.right, states, parent, reach, closed)
            costs, bins, _ = _costs(tree, labels, counts)
            _sweep(tree, labels, values, means, costs, bins)
            means, counts = _means(hierarchy, labels, values, means)
            if fixed is not None:
                means = fixed
            elif sweep < SWEEPS - 1:
                closed = _prune(hierarchy, tree, labels, means, counts, lambdas, channels)
    steps = _steps(hierarchy, counts, states, slopes, closed)
    return labels, closed, steps, float(slopes[0])


def _coordinates(
    latent: NDArray[Any], metric: Floats | None, kept: NDArray[np.int16] | None
) -> Floats:
    """Coordinates (h, w, C or more) whose squared distance is the distortion."""
    values = latent.astype(np.float64)
    if metric is not None:
        values = values * np.sqrt(metric)
    return values if kept is None else np.concatenate([values, kept], axis=2, dtype=np.float64)


def _parents(hierarchy: Hierarchy) -> Ints:
    parent = np.full(2 * hierarchy.leaves - 1, -1, np.int64)
    made = np.arange(hierarchy.leaves, 2 * hierarchy.leaves - 1)
    parent[hierarchy.left] = parent[hierarchy.right] = made
    return parent


def _means(
    hierarchy: Hierarchy, labels: Ints, values: Floats, before: Floats | None = None
) -> tuple[Floats, Floats]:
    """Mean and count of every node; a node that lost its last cell keeps the mean `before`."""
    leaves, channels = hierarchy.leaves, values.shape[2]
    sums = np.zeros((2 * leaves - 1, channels))
    counts = np.zeros(2 * leaves - 1)
    flat = labels.ravel()
    counts[:leaves] = np.bincount(flat, minlength=leaves)
    for c in range(channels):
        sums[:leaves, c] = np.bincount(flat, values[:, :, c].ravel(), leaves)
    for merge in range(leaves - 1):
        pair = [hierarchy.left[merge], hierarchy.right[merge]]
        sums[leaves + merge] = sums[pair].sum(0)
        counts[leaves + merge] = counts[pair].sum()
    means = sums / np.maximum(counts, 1)[:, None]
    if before is not None:
        means[counts == 0] = before[counts == 0]
    return means, counts


def _lambdas(
    hierarchy: Hierarchy, values: NDArray[Any], means: Floats, labels: Ints, states: Ints
) -> Floats:
    """lambda_t in squared latent units per bit: a fixed share of the mean squared error of z_t."""
    flat = values.reshape(-1, values.shape[2])
    cells = len(flat)
    error = float(((flat - means[labels.ravel()]) ** 2).sum())
    distortion = np.empty(STATES)
    # Undoing a merge lowers the squared error by its height, whatever the other merges do.
    pairs = np.stack([hierarchy.left, hierarchy.right])
    weights = np.bincount(labels.ravel(), minlength=hierarchy.leaves).astype(float)
    size = np.concatenate([weights, np.zeros(hierarchy.leaves - 1)])
    for merge in range(hierarchy.leaves - 1):
        size[hierarchy.leaves + merge] = size[pairs[:, merge]].sum()
    gap = ((means[pairs[0]] - means[pairs[1]]) ** 2).sum(1)
    height = size[pairs[0]] * size[pairs[1]] / np.maximum(size[pairs].sum(0), 1) * gap
    for t in range(STATES):
        distortion[t] = (error + height[states < t].sum()) / cells
    return np.asarray(SLOPE * np.maximum(distortion, 1.0))


def _reach(
    hierarchy: Hierarchy, parent: Ints, states: Ints, lambdas: Floats, closed: NDArray[np.bool_]
) -> Floats:
    """Sum of 1/lambda_t over the states in which a node is an entry of the palette."""
    inverse = np.concatenate([[0.0], np.cumsum(1 / lambdas)])  # of states below t
    leaves = hierarchy.leaves
    own = np.full(2 * leaves - 1, -1)
    own[leaves:] = np.where(closed, -1, states)
    above = np.full(2 * leaves - 1, STATES - 1)
    above[:-1] = states[parent[:-1] - leaves]
    return np.asarray(inverse[above + 1] - inverse[np.minimum(own, above) + 1])


@compiled
def _tally(tree: Any, labels: Ints, tallies: Floats) -> None:
    """Count decisions by merge and the neighbours' decisions: (merge, firsts, seconds, bit)."""
    leaves = tree.left.size + 1
    height, width = labels.shape
    firsts = np.zeros(2 * leaves - 1, np.int64)
    seconds = np.zeros(2 * leaves - 1, np.int64)
    for y in range(height):
        for x in range(width):
            _walk_neighbours(tree, labels, y, x, 1, firsts, seconds)
            node = labels[y, x]
            while tree.parent[node] >= 0:
                up = tree.parent[node]
                merge = up - leaves
                bit = 0 if tree.left[merge] == node else 1
                tallies[merge, firsts[up], seconds[up], bit] += 1
                node = up
            _walk_neighbours(tree, labels, y, x, -1, firsts, seconds)


@compiled
def _walk_neighbours(
    tree: Any, labels: Ints, y: int, x: int, sign: int, firsts: Ints, seconds: Ints
) -> None:
    """Add `sign` to the counts of the neighbours' decisions on their ways from leaf to root."""
    leaves = tree.left.size + 1
    height, width = labels.shape
    for v, u in ((y, x - 1), (y - 1, x), (y, x + 1), (y + 1, x)):
        if v < 0 or u < 0 or v >= height or u >= width:
            continue
        node = labels[v, u]
        while tree.parent[node] >= 0:
            up = tree.parent[node]
            if tree.left[up - leaves] == node:
                firsts[up] += sign
            else:
                seconds[up] += sign
            node = up


def _costs(tree: Tree, labels: Ints, counts: Floats) -> tuple[Floats, Ints, Floats]:
    """Bits of a decision (state, class, firsts, seconds, bit); class and bits of every merge."""
    share = (counts[tree.left] + 0.5) / (counts[tree.left] + counts[tree.right] + 1)
    bins = np.clip((share * _BINS).astype(np.int64), 0, _BINS - 1)
    decisions = np.zeros((tree.left.size, 5, 5, 2))
    _tally(tree, labels, decisions)
    undone = tree.state >= 0  # the others' decisions are in no stream
    tallies = np.zeros((STATES, _BINS, 5, 5, 2))
    np.add.at(tallies, (tree.state[undone], bins[undone]), decisions[undone])
    # Rare situations lean on what is counted over all states and classes.
    common = tallies.sum(axis=(0, 1)) + 0.5
    prior = common / common.sum(-1, keepdims=True)
    chances = (tallies + 4 * prior) / (tallies.sum(-1, keepdims=True) + 4)
    costs = -np.log2(chances)
    return costs, bins, (decisions * costs[tree.state, bins]).sum(axis=(1, 2, 3))


@compiled
def _sweep(
    tree: Any, labels: Ints, values: Floats, means: Floats, costs: Floats, bins: Ints
) -> None:
    """Give every cell in turn the leaf with the least cost, given its neighbours' leaves."""
    leaves = tree.left.size + 1
    height, width = labels.shape
    channels = values.shape[2]
    firsts = np.zeros(2 * leaves - 1, np.int64)
    seconds = np.zeros(2 * leaves - 1, np.int64)
    cost = np.empty(2 * leaves - 1)
    for y in range(height):
        for x in range(width):
            _walk_neighbours(tree, labels, y, x, 1, firsts, seconds)
            best, least = labels[y, x], np.inf
            cost[2 * leaves - 2] = 0.0
            for node in range(2 * leaves - 2, -1, -1):
                up = tree.parent[node]
                if up >= 0:
                    if cost[up] == np.inf or tree.closed[up - leaves]:
                        cost[node] = np.inf  # below a closed merge there is nothing to choose
                        continue
                    merge = up - leaves
                    bit = 0 if tree.left[merge] == node else 1
                    state = tree.state[merge]
                    bits = costs[state, bins[merge], firsts[up], seconds[up], bit]
                    cost[node] = cost[up] + (state + 1) * bits
                if tree.reach[node] > 0:
                    error = 0.0
                    for c in range(channels):
                        gap = values[y, x, c] - means[node, c]
                        error += gap * gap
                    cost[node] += tree.reach[node] * error
                end = node < leaves or tree.closed[node - leaves]
                if end and cost[node] < least:
                    best, least = node, cost[node]
            while best >= leaves:  # a closed merge is named by its first leaf
                best = tree.left[best - leaves]
            _walk_neighbours(tree, labels, y, x, -1, firsts, seconds)
            labels[y, x] = best


def _prune(
    hierarchy: Hierarchy,
    tree: Tree,
    labels: Ints,
    means: Floats,
    counts: Floats,
    lambdas: Floats,
    channels: int,
) -> NDArray[np.bool_]:
    """Close every merge whose undoing, with all that it opens below, does not pay for its bits.

    An offset has `channels` numbers, which may be fewer than the coordinates of the distortion.
    """
    _, _, bits = _costs(tree, labels, counts)
    left, right = hierarchy.left, hierarchy.right
    gap = ((means[left] - means[right]) ** 2).sum(1)
    drop = counts[left] * counts[right] / np.maximum(counts[left] + counts[right], 1) * gap
    weight = np.cumsum(1 / lambdas)[tree.state]
    extra = _SHAPE_BITS + _OFFSET_BITS * channels
    empty = (counts[left] == 0) | (counts[right] == 0)
    gain = drop * weight - (tree.state + 1) * (bits + np.where(empty, 0, extra))
    worth = np.zeros(2 * hierarchy.leaves - 1)
    for merge in range(hierarchy.leaves - 1):  # children before their parents
        below = worth[left[merge]] + worth[right[merge]]
        worth[hierarchy.leaves + merge] = max(0.0, gain[merge] + below)
    return np.asarray(worth[hierarchy.leaves :] <= 0)


def _steps(
    hierarchy: Hierarchy,
    counts: Floats,
    states: Ints,
    lambdas: Floats,
    closed: NDArray[np.bool_],
) -> list[int]:
    """Per state, log2 of the offsets' unit: where a finer one costs more bits than it saves error.

    An offset in steps of q adds q^2/12 to the squared error of n_a (1 + n_a/n_b) cells and costs
    -log2 q bits a channel.
    """
    inverse = np.cumsum(1 / lambdas)
    small = np.minimum(counts[hierarchy.left], counts[hierarchy.right])
    large = np.maximum(counts[hierarchy.left], counts[hierarchy.right])
    moved = small * (1 + small / np.maximum(large, 1))
    steps = []
    for t in range(STATES):
        used = (states == t) & ~closed & (small > 0)
        share = float(moved[used].mean()) if used.any() else 1.0
        unit = math.sqrt(6 * (t + 1) / (math.log(2) * share * inverse[t])) / 256
        steps.append(min(max(round(math.log2(max(unit, 1.0))), 0), 7))
    return steps


def latent_error(states: Sequence[Any], latent: NDArray[np.int16]) -> list[float]:
    """Mean squared error of every state's latent, in squared standard deviations.

    Channels that the palette does not carry count as 0.
    """
    channels = latent.shape[2]
    return [
        float(np.mean(((state.latent(channels) - latent.astype(np.int64)) / SCALE) ** 2))
        for state in states
    ]
