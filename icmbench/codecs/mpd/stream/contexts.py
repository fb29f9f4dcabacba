"""Context modelling: context slots per bit and the features they are computed from.

A context slot holds an adaptive probability. Every bit is coded with several slots, whose
predictions a mixer combines (logistic mixing, as in PAQ). Slots below `SHARED` are shared by all
images and start from trained values; the remaining ones are local: they belong to the nodes of one
image's palette tree and start empty.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.bitstream.arithmetic import LOGIT_ONE, Model, new_model
from icmbench.core.jit import compiled

Ints = NDArray[np.int64]

MAX_NODES: Final = 512  # 256 leaves and their 255 ancestors
MAX_ENTRIES: Final = 256  # of the palette of state 0
PLANES: Final = 6  # refinement sections of a stream, a bit plane each
MAX_CHANNELS: Final = 16  # with contexts of their own; the others share those of the last one

# Parts of the stream, as `icmbench info` names them.
SHAPE, OFFSETS, MAP, REFINEMENT = range(4)

# Index of the first slot of each kind; the comment names the features that index it.
_STEP: Final = 0  # state, binary tree of 3 bits
_SPLIT: Final = _STEP + 8 * 8  # depth 4, log2 of the count 16
_SPLIT_HEIGHT: Final = _SPLIT + 4 * 16  # log2 of the height 32, log2 of the count 16
_SPLIT_STATE: Final = _SPLIT_HEIGHT + 32 * 16  # state, depth 4, free entries 4
_ZERO: Final = _SPLIT_STATE + 8 * 4 * 4
_ZERO_NEAR: Final = _ZERO + MAX_CHANNELS * 16
_SIGN: Final = _ZERO_NEAR + 16 * 16
_SIZE: Final = _SIGN + MAX_CHANNELS * 8
_SIZE_NEAR: Final = _SIZE + 16 * 16
_AROUND: Final = _SIZE_NEAR + 16 * 16
_CROSS: Final = _AROUND + 7**4
_FAR: Final = _CROSS + 7**4
_LEAN: Final = _FAR + 7**4
_COUNTS: Final = _LEAN + 33 * 5 * 3
_OUTER: Final = _COUNTS + 16 * 25
_PALETTE_END: Final = _OUTER + 7**4
# The next ones are those of the refinement sections, see `refinement_contexts`.
CENTRE: Final = _PALETTE_END  # plane 6, first or later bin 2, binary tree of 5 bits
SIZE: Final = CENTRE + PLANES * 2 * 32  # binary tree of the 7 bits of the first threshold
RATE: Final = SIZE + 128  # plane, channel
NEAR: Final = RATE + PLANES * MAX_CHANNELS  # channel, neighbourhood 10, channels before 6
CROSS: Final = NEAR + MAX_CHANNELS * 60  # channel, W, N, E, S
RING: Final = CROSS + MAX_CHANNELS * 81  # channel group 4, W, N, NW, NE, E, S
GAP: Final = RING + 4 * 729  # channel, gap 8, neighbourhood 10
LAST: Final = GAP + MAX_CHANNELS * 80  # channel, three channels before, channels after 3
SAME: Final = LAST + MAX_CHANNELS * 81  # channel, neighbours of the same entry, neighbourhood 3
BUSY: Final = SAME + MAX_CHANNELS * 48  # channel, neighbours' activity 12, channels after 4
PLANE_BUSY: Final = BUSY + MAX_CHANNELS * 48  # plane, activity 12, channels before 6
PLANE_GAP: Final = PLANE_BUSY + PLANES * 72  # plane, gap 8, neighbourhood 10
SIGN_LEAN: Final = PLANE_GAP + PLANES * 80  # channel, lean 15
SIGN_NEAR: Final = SIGN_LEAN + MAX_CHANNELS * 15  # channel, signs of W, N, E, S
SIGN_LAST: Final = SIGN_NEAR + MAX_CHANNELS * 81  # channel, signs of three channels before
SIGN_SAME: Final = SIGN_LAST + MAX_CHANNELS * 27  # lean 15, neighbours of the same entry
BIT_LEAN: Final = SIGN_SAME + 15 * 16  # channel, magnitude 3, lean 15
BIT_NEAR: Final = BIT_LEAN + MAX_CHANNELS * 45  # plane, magnitude 3, neighbourhood 10
BIT_CROSS: Final = BIT_NEAR + PLANES * 30  # channel, magnitude 3, channels before 6
LEVEL: Final = BIT_CROSS + MAX_CHANNELS * 18  # channel, step 12
LEVEL_NEAR: Final = LEVEL + MAX_CHANNELS * 12  # step 12, neighbourhood 10
LEVEL_LEAN: Final = LEVEL_NEAR + 120  # step 12, lean 15
_SHARED: Final = LEVEL_LEAN + 180
_NODE: Final = _SHARED  # node
_NODE_NEAR: Final = _NODE + MAX_NODES  # node, W, N
_NODE_WEST: Final = _NODE_NEAR + MAX_NODES * 49  # node, neighbour's node
_NODE_NORTH: Final = _NODE_WEST + MAX_NODES * MAX_NODES
_NODE_EAST: Final = _NODE_NORTH + MAX_NODES * MAX_NODES
_NODE_SOUTH: Final = _NODE_EAST + MAX_NODES * MAX_NODES
ENTRY: Final = _NODE_SOUTH + MAX_NODES * MAX_NODES  # plane, entry, channel
SLOTS: Final = ENTRY + PLANES * MAX_ENTRIES * MAX_CHANNELS
SHARED: Final = _SHARED

MAP_SLOTS: Final = 12
MAP_DIRECT: Final = 7
INPUTS: Final = MAP_SLOTS + MAP_DIRECT

# Mixers.
STEP_MIXER, SPLIT_MIXER, ZERO_MIXER, SIGN_MIXER, SIZE_MIXER, MAP_MIXER = range(6)
PARAMETER_MIXER: Final = MAP_MIXER + 5 * 3
RATE_MIXER: Final = PARAMETER_MIXER + 1  # channel, neighbourhood 4
SIGNS_MIXER: Final = RATE_MIXER + MAX_CHANNELS * 4  # class of the lean's size 3
BIT_MIXER: Final = SIGNS_MIXER + 3  # plane
LEVEL_MIXER: Final = BIT_MIXER + PLANES
MIXERS: Final = LEVEL_MIXER + 1

# Relation of a neighbouring cell to the node that is split: 0 outside the image, 1 in the first
# child, 2 in the second child, 3 in the node, unassigned, 4/5 in another node whose mean is
# closer to the first/second child, 6 in another node, about equally far from both.
_OUT, _FIRST, _SECOND, _OPEN, _TO_FIRST, _TO_SECOND, _NEITHER = range(7)
_NEIGHBOURS: Final = np.array(
    [[0, -1], [-1, 0], [-1, -1], [-1, 1], [0, -2], [-2, 0], [0, 1], [1, 0], [1, 1], [1, -1]]
)
_SHARE: Final = np.array([4, 4, 2, 2, 1, 1, 3, 3, 1, 1])  # weights in the total lean


def fresh_model() -> Model:
    """Slots and mixers without training."""
    return new_model(SLOTS, MIXERS, INPUTS)


@compiled
def log2_class(value: int, largest: int) -> int:
    """Number of bits of a value, at most `largest`."""
    bits = 0
    while value > 0 and bits < largest:
        value >>= 1
        bits += 1
    return bits


@compiled
def split_contexts(out: Ints, state: int, depth: int, count: int, height: int, room: int) -> None:
    """Contexts of the flag that an entry is split.

    Args:
        out: slots to fill, (3,).
        state: diffusion state t of the section.
        depth: number of splits above the entry within the section.
        count: number of cells of the entry.
        height: of the split that made the entry, see `Nodes.heights`.
        room: class 0-3 of the number of entries that the palette may still gain.
    """
    depth = min(depth, 3)
    size = log2_class(count, 15)
    out[0] = _SPLIT + depth * 16 + size
    out[1] = _SPLIT_HEIGHT + log2_class(height, 31) * 16 + size
    out[2] = _SPLIT_STATE + (state * 4 + depth) * 4 + room


@compiled
def step_contexts(out: Ints, state: int, prefix: int) -> None:
    """Context of one bit of the offsets' step size; `prefix`: bits coded before, after a 1."""
    out[0] = _STEP + state * 8 + prefix


@compiled
def zero_contexts(out: Ints, channel: int, scale: int, near: int) -> None:
    """Contexts of the flag that an offset is zero.

    Args:
        out: slots to fill, (2,).
        channel: of the latent.
        scale: bit length of the offset of the split node from its own parent, in steps / 4.
        near: bit length of the offset in the previous channel, in steps / 2.
    """
    out[0] = _ZERO + min(channel, MAX_CHANNELS - 1) * 16 + scale
    out[1] = _ZERO_NEAR + scale * 16 + near


@compiled
def sign_contexts(out: Ints, channel: int, parent_sign: int, is_first: int) -> None:
    """Context of an offset's sign: the sign of the split node's offset from its own parent."""
    out[0] = _SIGN + (min(channel, MAX_CHANNELS - 1) * 4 + parent_sign) * 2 + is_first


@compiled
def size_contexts(out: Ints, step: int, scale: int, near: int) -> None:
    """Contexts of the unary code of an offset's magnitude: is it larger than `step` + 1."""
    step = min(step, 15)
    out[0] = _SIZE + step * 16 + scale
    out[1] = _SIZE_NEAR + step * 16 + near


@compiled
def map_contexts(
    y: int,
    x: int,
    node: int,
    depth: int,
    nodes: Any,
    owner: NDArray[np.int16],
    means: Ints,
    axis: Ints,
    norm: int,
    count: int,
    contexts: Ints,
    direct: Ints,
    kinds: Ints,
    leans: Ints,
) -> int:
    """Contexts of the bit that assigns one cell of a split node to its first or second child.

    The lean of a neighbouring cell is the projection of its mean onto the split axis: positive
    towards the first child. Leans are also direct inputs of the mixer, in the logistic domain.

    Args:
        y, x: the cell.
        node: its node, which is split.
        depth: number of splits above the node within the section.
        nodes: first child of every node that is being split, 0 for all others.
        owner: (h, w), node of every cell; cells before (y, x) are already assigned to a child.
        means: (nodes, C), of the decoded nodes.
        axis, norm: offset of the first child from the node, and its squared length.
        count: number of cells of the node.
        contexts: slots to fill, (MAP_SLOTS,).
        direct: direct inputs to fill, (MAP_DIRECT,).
        kinds, leans: scratch arrays, one element per neighbour.

    Returns:
        Index of the mixer.
    """
    height, width = owner.shape
    first = nodes[node]
    inside_first = 0
    inside_second = 0
    total = np.int64(0)
    for i in range(_NEIGHBOURS.shape[0]):
        v, u = y + _NEIGHBOURS[i, 0], x + _NEIGHBOURS[i, 1]
        if v < 0 or u < 0 or v >= height or u >= width:
            kinds[i] = _OUT
            leans[i] = 0
            continue
        other = np.int64(owner[v, u])
        if other == node:
            kinds[i] = _OPEN
            leans[i] = 0
        elif other == first:
            kinds[i] = _FIRST
            leans[i] = LOGIT_ONE
            inside_first += 1 if i < 4 else 0
        elif other == first + 1:
            kinds[i] = _SECOND
            leans[i] = -LOGIT_ONE
            inside_second += 1 if i < 4 else 0
        else:
            lean = np.int64(0)
            if norm > 0:
                dot = np.int64(0)
                for c in range(axis.size):
                    dot += (means[other, c] - means[node, c]) * axis[c]
                lean = min(max(dot * LOGIT_ONE // norm, -2 * LOGIT_ONE), 2 * LOGIT_ONE)
            leans[i] = lean
            kinds[i] = _TO_FIRST if lean > 64 else (_TO_SECOND if lean < -64 else _NEITHER)
        total += leans[i] * _SHARE[i]
    inside = inside_first + inside_second
    level = min(max(total // 192 + 16, 0), 32)
    size = log2_class(count, 15)
    contexts[0] = _AROUND + ((kinds[0] * 7 + kinds[1]) * 7 + kinds[2]) * 7 + kinds[3]
    contexts[1] = _CROSS + ((kinds[0] * 7 + kinds[1]) * 7 + kinds[6]) * 7 + kinds[7]
    contexts[2] = _FAR + ((kinds[0] * 7 + kinds[1]) * 7 + kinds[4]) * 7 + kinds[5]
    contexts[3] = _LEAN + (level * 5 + inside) * 3 + min(depth, 2)
    contexts[4] = _COUNTS + (size * 5 + inside_first) * 5 + inside_second
    contexts[5] = _OUTER + ((kinds[6] * 7 + kinds[7]) * 7 + kinds[8]) * 7 + kinds[9]
    contexts[6] = _NODE + node
    contexts[7] = _NODE_NEAR + (node * 7 + kinds[0]) * 7 + kinds[1]
    west = owner[y, x - 1] if x > 0 else 0
    north = owner[y - 1, x] if y > 0 else 0
    east = owner[y, x + 1] if x + 1 < width else 0
    south = owner[y + 1, x] if y + 1 < height else 0
    contexts[8] = _NODE_WEST + node * MAX_NODES + west
    contexts[9] = _NODE_NORTH + node * MAX_NODES + north
    contexts[10] = _NODE_EAST + node * MAX_NODES + east
    contexts[11] = _NODE_SOUTH + node * MAX_NODES + south
    direct[0] = leans[0]
    direct[1] = leans[1]
    direct[2] = leans[2] + leans[3]
    direct[3] = leans[4] + leans[5]
    direct[4] = leans[6] + leans[7]
    direct[5] = leans[8] + leans[9]
    direct[6] = LOGIT_ONE
    return MAP_MIXER + inside * 3 + min(depth, 2)
