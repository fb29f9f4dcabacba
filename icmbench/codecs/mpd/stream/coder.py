"""Sections of an image as bytes: encoding, decoding, and the decoded diffusion state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from icmbench.bitstream import arithmetic
from icmbench.bitstream.arithmetic import Model, code
from icmbench.codecs.mpd.palette.hierarchy import STATES, entry_limits
from icmbench.codecs.mpd.palette.shared_palette import SharedPalette
from icmbench.codecs.mpd.stream import refinement as ref
from icmbench.codecs.mpd.stream import section as sec
from icmbench.codecs.mpd.stream.refinement import REFINEMENTS
from icmbench.codecs.mpd.stream.refinement_contexts import Field
from icmbench.codecs.mpd.stream.section import Nodes, Plan
from icmbench.core.errors import CodecError, CorruptStream

REFINEMENT: Final = "refinement"
BIT_KINDS: Final = ("shape", "offsets", "map", REFINEMENT)
FINEST: Final = -REFINEMENTS  # the last state of a stream
SHARED_CHANCE: Final = 1 << 12  # of a `dataset` palette, in 1/65536: it costs 4 bits, the other 0.1


@dataclass(frozen=True)
class State:
    """The latent that a prefix of the stream decodes to.

    Attributes:
        state: t, 7 the coarsest; below 0 the palette of state 0 is refined.
        labels: int16 (h, w), palette entry of every cell.
        palette: int32 (K, C), in 1/256 of an int8 step.
        bits: float64 (4,), information content of its section by `BIT_KINDS`.
        refined: of a refinement state, else None.
    """

    state: int
    labels: NDArray[np.int16]
    palette: NDArray[np.int32]
    bits: NDArray[np.float64]
    refined: ref.Refinement | None = None

    def latent(self, channels: int | None = None) -> NDArray[np.int32]:
        """z_t, int32 (h, w, C): every cell replaced by its entry's mean, or its refined latent.

        With `channels` the latent has so many; those that the palette does not carry are 0, their
        mean over the training data, until they are refined.
        """
        if self.refined is not None:
            return self.refined.latent
        return self._means(channels or self.palette.shape[1])

    @property
    def bounds(self) -> tuple[NDArray[np.int32], NDArray[np.int32]] | None:
        """Least and largest latent that a refinement state allows, int32 (h, w, C) each."""
        if self.refined is None:
            return None
        return self.refined.bounds(self._means(self.refined.latent.shape[2]))

    def _means(self, channels: int) -> NDArray[np.int32]:
        """Every cell's entry, int32 (h, w, channels); 0 in channels that it does not carry."""
        rest = channels - self.palette.shape[1]
        return np.pad(self.palette, ((0, 0), (0, rest)))[self.labels]


def palette_states(cells: int) -> list[int]:
    """The palette's states that have a section, coarsest first: those that may gain entries."""
    limits = entry_limits(cells)
    grows = [t for t in range(STATES - 1) if limits[t] > limits[t + 1]]
    return [STATES - 1, *reversed(grows)]


def section_states(cells: int) -> list[int]:
    """The states that have a section, coarsest first: the palette's, then the refinements."""
    return [*palette_states(cells), *range(-1, FINEST - 1, -1)]


def sections_of_state(cells: int, state: int) -> int:
    """Number of sections in a file of state `state`."""
    return sum(t >= state for t in section_states(cells))


def encode_sections(
    plan: Plan, shape: tuple[int, int], steps: Sequence[int], model: Model
) -> tuple[list[bytes], list[State]]:
    """The payload of every palette section, coarsest first, and the decoder's state after each.

    Args:
        plan: of `make_plan`.
        shape: height and width of the latent.
        steps: per state, log2 of the offsets' unit.
        model: the adaptive state at the start; it is used up.
    """
    cells = shape[0] * shape[1]
    nodes = sec.new_nodes(plan.sums.shape[1], cells)
    owner = np.zeros(shape, np.int16)
    payloads: list[bytes] = []
    states: list[State] = []
    limits = entry_limits(cells)
    for index, t in enumerate(palette_states(cells)):
        bits = np.zeros(len(BIT_KINDS))
        splits = (plan.first >= 0) & (plan.state == t)
        if index and not splits.any():
            # An empty payload says that nothing is split; the coder learns nothing from it.
            payloads.append(b"")
            states.append(_state(t, nodes, owner, bits))
            continue
        buffer = np.zeros(1024 + 8 * cells + 64 * limits[t] * plan.sums.shape[1], np.uint8)
        registers = arithmetic.encoder()
        if index == 0:
            code(False, int(plan.shared[0]), SHARED_CHANCE, registers, buffer)
            sec.code_root(False, registers, buffer, nodes, plan)
            bits[1] += 0 if plan.shared[0] else 8 * nodes.means.shape[1]
        fault = sec.code_section(
            False, t, limits[t], steps[t], registers, buffer, model, nodes, owner, plan, bits
        )
        assert fault == sec.OK, "the plan is not one of make_plan"
        length = int(arithmetic.finish(registers, buffer))
        if length < 0:
            raise CodecError(f"the section of state {t} takes more than {buffer.size} bytes")
        length = max(1, length)  # an empty payload would say that nothing is split
        payloads.append(buffer[:length].tobytes())
        states.append(_state(t, nodes, owner, bits))
    return payloads, states


def encode_refinements(
    state: State, latent: NDArray[np.int16], size: int, count: int, model: Model
) -> tuple[list[bytes], list[State]]:
    """The payloads of `count` refinement sections, and the decoder's state after each.

    Args:
        state: the state 0 that they refine.
        latent: int16 (h, w, C), of all channels, within the integer latent's range.
        size: of the first threshold, see `refinement.nearest_size`.
        model: the adaptive state after the palette's sections; it is used up.
    """
    field = ref.new_field(state.labels, state.palette, latent.shape[2])
    residual = latent - field.palette[field.labels]
    payloads: list[bytes] = []
    states: list[State] = []
    for plane, threshold in enumerate(ref.thresholds(size)[:count]):
        bits = np.zeros(len(BIT_KINDS))
        buffer = np.zeros(1024 + 8 * latent.size, np.uint8)
        registers = arithmetic.encoder()
        centres = ref.choose_centres(residual, threshold)
        done = ref.code_plane(
            False, plane, size, centres, registers, buffer, model, field, residual, bits
        )
        assert done == size, "the latent is beyond its range"
        length = int(arithmetic.finish(registers, buffer))
        if length < 0:
            raise CodecError(f"refinement {plane + 1} takes more than {buffer.size} bytes")
        payloads.append(buffer[: max(1, length)].tobytes())
        states.append(_refined(state, plane, threshold, field, bits))
    return payloads, states


def walk_sections(
    payloads: Sequence[bytes],
    shape: tuple[int, int],
    carried: int,
    model: Model,
    shared: SharedPalette | None,
    channels: int | None = None,
) -> Iterator[State]:
    """Decode the sections of a file; the states one after the other, coarsest first.

    Args:
        shape: height and width of the latent.
        carried: channels of the palette.
        model: the adaptive state at the start; it is used up.
        shared: the model's `dataset` palette, where it has one.
        channels: of the latent; None: those of the palette.

    Raises CorruptStream where a section could not have been written by an encoder.
    """
    cells = shape[0] * shape[1]
    known = section_states(cells)
    if not 1 <= len(payloads) <= len(known):
        raise CorruptStream(f"{len(payloads)} sections, an image of this size has {len(known)}")
    own = len(known) - REFINEMENTS
    state = None
    for state in _walk_palette(payloads[:own], shape, carried, model, shared):
        yield state
    if len(payloads) > own:
        assert state is not None, "there is a section of the palette"
        yield from _walk_refinements(payloads[own:], state, channels or carried, model)


def _walk_palette(
    payloads: Sequence[bytes],
    shape: tuple[int, int],
    channels: int,
    model: Model,
    shared: SharedPalette | None,
) -> Iterator[State]:
    cells = shape[0] * shape[1]
    known = palette_states(cells)
    nodes = sec.new_nodes(channels, cells)
    owner = np.zeros(shape, np.int16)
    limits = entry_limits(cells)
    plan = sec.empty_plan(channels)
    for index, (t, payload) in enumerate(zip(known[: len(payloads)], payloads, strict=True)):
        bits = np.zeros(len(BIT_KINDS))
        if index == 0 and not payload:
            raise CorruptStream("the first section is empty")
        if payload:
            buffer = np.frombuffer(payload, np.uint8).copy()
            registers = arithmetic.decoder(buffer)
            if index == 0:
                if code(True, 0, SHARED_CHANCE, registers, buffer):
                    if shared is None:
                        raise CorruptStream("a data-set palette is named, the model has none")
                    plan = shared.plan(limits, None)
                sec.code_root(True, registers, buffer, nodes, plan)
                bits[1] += 0 if plan.shared[0] else 8 * channels
            fault = sec.code_section(
                True, t, limits[t], 0, registers, buffer, model, nodes, owner, plan, bits
            )
            if fault != sec.OK:
                what = "cells that no split leaves" if fault == sec.IMPOSSIBLE_COUNTS else "means"
                raise CorruptStream(f"the section of state {t} names impossible {what}")
            _check_canonical(registers, payload, t)
        yield _state(t, nodes, owner, bits)


def _walk_refinements(
    payloads: Sequence[bytes], state: State, channels: int, model: Model
) -> Iterator[State]:
    if not all(payloads):
        raise CorruptStream("a refinement section is empty")
    field = ref.new_field(state.labels, state.palette, channels)
    none = np.zeros((0, 0, channels), np.int32)
    size = 0
    for plane, payload in enumerate(payloads):
        bits = np.zeros(len(BIT_KINDS))
        buffer = np.frombuffer(payload, np.uint8).copy()
        registers = arithmetic.decoder(buffer)
        centres = np.zeros(2, np.int64)
        size = int(
            ref.code_plane(True, plane, size, centres, registers, buffer, model, field, none, bits)
        )
        if size < 0:
            raise CorruptStream(f"the section of state {-1 - plane} names impossible latents")
        _check_canonical(registers, payload, -1 - plane)
        yield _refined(state, plane, ref.thresholds(size)[plane], field, bits)


def _check_canonical(registers: NDArray[np.int64], payload: bytes, t: int) -> None:
    if payload != arithmetic.canonical(registers, payload):
        raise CorruptStream(f"the section of state {t} is not what an encoder writes")


def _refined(
    state: State, plane: int, threshold: int, field: Field, bits: NDArray[np.float64]
) -> State:
    known = ref.Refinement(field.levels.copy(), threshold, field.latent.copy())
    return State(-1 - plane, state.labels, state.palette, bits, known)


def _state(t: int, nodes: Nodes, owner: NDArray[np.int16], bits: NDArray[np.float64]) -> State:
    alive = np.flatnonzero(nodes.first[: nodes.meta[0]] == 0)
    name = np.zeros(int(nodes.meta[0]), np.int16)
    name[alive] = np.arange(alive.size)
    palette = nodes.means[alive].astype(np.int32)
    return State(t, name[owner], palette, bits)
