"""One section of the stream: from the palette of one state to that of the next finer one.

A section is a sequence of rounds. A round codes a flag per entry (split into two or not), the
offset of the first child of each split, and for every cell of a split entry the child that it
belongs to. The first child is the one with fewer cells; the second one follows from the mean of the
entry, which is preserved. Encoder and decoder share one function: the encoder takes each decision
from a `Plan`, the decoder reads it from the stream.

Latents, means and offsets are in 1/256 of the palette's int8 step (DESIGN 5e).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from icmbench.bitstream.arithmetic import code, code_golomb, code_mixed
from icmbench.codecs.mpd.stream import contexts as ctx
from icmbench.core.jit import compiled

Ints = NDArray[np.int64]

UNIT: Final = 256  # one int8 step of the palette in the units of the means
LATENT_BOUND: Final = 1 << 15  # latents stay inside, means within twice that
OK, IMPOSSIBLE_COUNTS, TOO_LARGE = range(3)
_UNARY: Final = 24  # larger offsets go on in an Exp-Golomb code
_GOLOMB: Final = 12


class Nodes(NamedTuple):
    """The decoded part of the palette's tree. Node 0 is the root.

    Attributes:
        meta: int64 (1,), number of nodes.
        first: int64 (n,), first child of a node; 0: an entry of the palette.
        cells: int64 (n,), number of cells.
        means: int64 (n, C).
        birth: int64 (n, C), offset from the parent.
        is_first: int64 (n,), 1 for a first child, else 0.
        heights: int64 (n,), squared length of the split that made the node, times the cells of
            its first child.
    """

    meta: Ints
    first: Ints
    cells: Ints
    means: Ints
    birth: Ints
    is_first: Ints
    heights: Ints


class Plan(NamedTuple):
    """The encoder's decisions: the final tree, in which every leaf has cells.

    Attributes:
        first, second: int64 (m,), children of a node of the plan; -1: leaf.
        state: int64 (m,), the coarsest state in which the node is split.
        middle: int64 (m,), cells at or above this position belong to the second child.
        sums: int64 (m, C), of the latent; counts: int64 (m,).
        position: int64 (h, w), index of each cell's leaf in the order of leaves.
        node_of: int64 (nodes,), plan node of each coded node.
        shared: int64 (1,), 1 where the tree comes with the model (`dataset` palette): decoder and
            encoder hold the same plan (but for `position`), its `sums` are means, and nothing but
            the map is coded.
    """

    first: Ints
    second: Ints
    state: Ints
    middle: Ints
    sums: Ints
    counts: Ints
    position: Ints
    node_of: Ints
    shared: Ints


def new_nodes(channels: int, cells: int) -> Nodes:
    """A tree that consists of its root."""
    size = ctx.MAX_NODES
    nodes = Nodes(
        np.ones(1, np.int64),
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
        np.zeros((size, channels), np.int64),
        np.zeros((size, channels), np.int64),
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
    )
    nodes.cells[0] = cells
    return nodes


def empty_plan(channels: int) -> Plan:
    """The empty plan of a decoder."""
    none = np.zeros(0, np.int64)
    return Plan(
        none, none, none, none, np.zeros((0, channels), np.int64), none, np.zeros((0, 0), np.int64),
        none, np.zeros(1, np.int64),
    )  # fmt: skip


@compiled
def code_root(
    decoding: bool, state: Ints, buffer: NDArray[np.uint8], nodes: Any, plan: Any
) -> None:
    """The palette of the coarsest level: the int8 mean of all cells, 8 plain bits a channel."""
    if plan.shared[0]:
        nodes.means[0] = plan.sums[0]
        return
    for c in range(nodes.means.shape[1]):
        value = np.int64(0)
        if not decoding:
            half = plan.counts[0] * (UNIT // 2)
            value = (plan.sums[0, c] + half) // (plan.counts[0] * UNIT)
            value = min(max(value, -127), 127) + 128
        read = np.int64(0)
        for place in range(7, -1, -1):
            read = read * 2 + code(decoding, (value >> place) & 1, 1 << 15, state, buffer)
        nodes.means[0, c] = (read - 128) * UNIT


@compiled
def code_section(
    decoding: bool,
    t: int,
    limit: int,
    step: int,
    registers: Ints,
    buffer: NDArray[np.uint8],
    model: Any,
    nodes: Any,
    owner: NDArray[np.int16],
    plan: Any,
    bits: NDArray[np.float64],
) -> int:
    """Code the refinement to state `t`; changes model, nodes and owner; returns a fault or OK.

    Args:
        limit: K_t, the most entries the palette may have afterwards.
        step: log2 of the offsets' unit (the decoder reads it).
        owner: int16 (h, w), node of every cell.
        bits: float64 (3,), information content by part (SHAPE, OFFSETS, MAP), added to.
    """
    channels = nodes.means.shape[1]
    todo = np.empty(ctx.MAX_NODES, np.int64)
    entries = 0
    for node in range(nodes.meta[0]):
        if nodes.first[node] == 0:
            todo[entries] = node
            entries += 1
    pending = entries
    depth = 0
    axis = np.empty(channels, np.int64)
    while pending > 0 and entries < limit:
        split = np.empty(ctx.MAX_NODES, np.int64)
        splits = 0
        for i in range(pending):
            node = todo[i]
            if entries == limit:
                break
            if _code_split(decoding, t, limit - entries, depth, registers, buffer, model, nodes,
                           plan, node, bits):  # fmt: skip
                split[splits] = node
                splits += 1
                entries += 1
        if splits == 0:
            break
        if depth == 0 and not plan.shared[0]:
            step = _code_step(decoding, t, step, registers, buffer, model, bits)
        for i in range(splits):
            node = split[i]
            child = nodes.meta[0]
            nodes.meta[0] = child + 2
            nodes.first[node] = child
            nodes.is_first[child] = 1
            if plan.shared[0] or not decoding:
                plan.node_of[child] = plan.first[plan.node_of[node]]
                plan.node_of[child + 1] = plan.second[plan.node_of[node]]
            if plan.shared[0]:
                _take_offset(nodes, plan, node)
            else:
                _code_offset(decoding, step, registers, buffer, model, nodes, plan, node, bits)
        _code_cells(decoding, depth, registers, buffer, model, nodes, owner, plan, axis, bits)
        pending = 0
        for i in range(splits):
            child = nodes.first[split[i]]
            if not plan.shared[0]:
                fault = _place_second_child(nodes, split[i], child)
                if fault != OK:
                    return fault
            todo[pending], todo[pending + 1] = child, child + 1
            pending += 2
        depth += 1
    return OK


@compiled
def _code_split(decoding, t, room, depth, registers, buffer, model, nodes, plan, node, bits):
    """Code the flag that an entry is split in this section; one of a single cell never is."""
    if plan.shared[0]:
        want = plan.node_of[node]
        return plan.first[want] >= 0 and plan.state[want] >= t
    if nodes.cells[node] < 2:
        return False
    bit = 0
    if not decoding:
        want = plan.node_of[node]
        bit = 1 if plan.first[want] >= 0 and plan.state[want] >= t else 0
    slots = np.empty(3, np.int64)
    few = ctx.log2_class(room - 1, 8) // 3
    ctx.split_contexts(slots, t, depth, nodes.cells[node], nodes.heights[node], few)
    none = np.empty(0, np.int64)
    return (
        code_mixed(
            decoding, bit, registers, buffer, model, ctx.SPLIT_MIXER, slots, none, bits, ctx.SHAPE
        )
        == 1
    )


@compiled
def _code_step(decoding, t, step, registers, buffer, model, bits):
    """Code the precision of the offsets in this section: 3 bits."""
    slots = np.empty(1, np.int64)
    none = np.empty(0, np.int64)
    prefix = 1
    for place in range(2, -1, -1):
        ctx.step_contexts(slots, t, prefix)
        bit = code_mixed(
            decoding, (step >> place) & 1, registers, buffer, model, ctx.STEP_MIXER, slots, none,
            bits, ctx.OFFSETS,
        )  # fmt: skip
        prefix = prefix * 2 + bit
    return prefix - 8


@compiled
def _take_offset(nodes, plan, node):
    """Means of the two children as the model's own tree gives them."""
    for child in (nodes.first[node], nodes.first[node] + 1):
        for c in range(nodes.means.shape[1]):
            nodes.means[child, c] = plan.sums[plan.node_of[child], c]
            nodes.birth[child, c] = nodes.means[child, c] - nodes.means[node, c]


@compiled
def _code_offset(decoding, step, registers, buffer, model, nodes, plan, node, bits):
    """Code the offset of the first child from the entry's true mean, channel by channel.

    The true mean instead of the decoded one: the means of both children average to the decoded mean
    of the entry. Its error therefore cannot be corrected here, and an offset from the decoded mean
    would add it to the second child.
    """
    child = nodes.first[node]
    unit = np.int64(UNIT) << step
    slots = np.empty(2, np.int64)
    lone = np.empty(1, np.int64)
    none = np.empty(0, np.int64)
    near = 0
    for c in range(nodes.means.shape[1]):
        value = np.int64(0)
        if not decoding:
            parent, own = plan.node_of[node], plan.node_of[child]
            # sum_a / n_a - sum_p / n_p, rounded to the unit
            over = plan.counts[own] * plan.counts[parent] * unit
            gap = plan.sums[own, c] * plan.counts[parent] - plan.sums[parent, c] * plan.counts[own]
            value = (2 * gap + over) // (2 * over)
        birth = nodes.birth[node, c]
        scale = ctx.log2_class(abs(birth) * 4 // unit, 15)
        ctx.zero_contexts(slots, c, scale, near)
        zero = code_mixed(
            decoding, 1 if value == 0 else 0, registers, buffer, model, ctx.ZERO_MIXER, slots,
            none, bits, ctx.OFFSETS,
        )  # fmt: skip
        size = np.int64(0)
        if zero == 0:
            ctx.sign_contexts(lone, c, (birth > 0) + 2 * (birth < 0), nodes.is_first[node])
            sign = code_mixed(
                decoding, 1 if value < 0 else 0, registers, buffer, model, ctx.SIGN_MIXER, lone,
                none, bits, ctx.OFFSETS,
            )  # fmt: skip
            size = _code_size(
                decoding, abs(value), scale, near, registers, buffer, model, slots, bits
            )
            value = -size if sign else size
        else:
            value = np.int64(0)
        near = ctx.log2_class(2 * size, 15)
        nodes.birth[child, c] = value * unit
        nodes.means[child, c] = nodes.means[node, c] + value * unit
        # Where the second child lies is known when the cells are counted; until then: half as far.
        nodes.means[child + 1, c] = nodes.means[node, c] - (value * unit >> 1)


@compiled
def _code_size(decoding, size, scale, near, registers, buffer, model, slots, bits):
    """Code a magnitude of at least 1: unary, then Exp-Golomb."""
    none = np.empty(0, np.int64)
    read = np.int64(1)
    while read < _UNARY:
        ctx.size_contexts(slots, read - 1, scale, near)
        more = code_mixed(
            decoding, 1 if size > read else 0, registers, buffer, model, ctx.SIZE_MIXER, slots,
            none, bits, ctx.OFFSETS,
        )  # fmt: skip
        if more == 0:
            return read
        read += 1
    rest = code_golomb(decoding, size - _UNARY + 1, _GOLOMB, registers, buffer, bits, ctx.OFFSETS)
    return rest + _UNARY - 1


@compiled
def _code_cells(decoding, depth, registers, buffer, model, nodes, owner, plan, axis, bits):
    """Code the child of every cell of a split entry, in raster order."""
    contexts = np.empty(ctx.MAP_SLOTS, np.int64)
    direct = np.empty(ctx.MAP_DIRECT, np.int64)
    kinds = np.empty(10, np.int64)
    leans = np.empty(10, np.int64)
    for y in range(owner.shape[0]):
        for x in range(owner.shape[1]):
            node = np.int64(owner[y, x])
            child = nodes.first[node]
            if child == 0:
                continue
            norm = np.int64(0)
            for c in range(axis.size):
                axis[c] = nodes.birth[child, c]
                norm += axis[c] * axis[c]
            mixer = ctx.map_contexts(
                y, x, node, depth, nodes.first, owner, nodes.means, axis, norm,
                nodes.cells[node], contexts, direct, kinds, leans,
            )  # fmt: skip
            bit = 0
            if not decoding:
                bit = 1 if plan.position[y, x] >= plan.middle[plan.node_of[node]] else 0
            bit = code_mixed(
                decoding, bit, registers, buffer, model, mixer, contexts, direct, bits, ctx.MAP
            )
            owner[y, x] = child + bit
            nodes.cells[child + bit] += 1


@compiled
def _place_second_child(nodes, node, child):
    """Place the second child where the entry's mean is kept; refuse impossible counts."""
    small, large = nodes.cells[child], nodes.cells[child + 1]
    if small == 0 or small > large:
        return IMPOSSIBLE_COUNTS
    norm = np.int64(0)
    for c in range(nodes.means.shape[1]):
        offset = nodes.birth[child, c]
        back = -((2 * offset * small + large) // (2 * large))
        nodes.birth[child + 1, c] = back
        nodes.means[child + 1, c] = nodes.means[node, c] + back
        norm += (offset >> 5) * (offset >> 5)
        for new in (child, child + 1):
            if abs(nodes.means[new, c]) > 2 * LATENT_BOUND:
                return TOO_LARGE
    nodes.heights[child] = nodes.heights[child + 1] = norm * small >> 6
    return OK
