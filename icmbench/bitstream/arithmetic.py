"""An adaptive binary arithmetic coder in integers, with logistic mixing of contexts.

A bit is coded with the probability that a small mixer makes of several *slots*. A slot is one
context's running estimate and how often it was seen; the mixer adds the logits of the slots,
weighted by how much slots of that age have deserved so far, and learns from every bit (Mahoney,
"Adaptive weighing of context models for lossless data compression", 2005). Everything is integer:
encoder and decoder run the same function, so they cannot differ.

Fixed point: a slot's probability has 22 bits, a coded probability 16, a logit is in 1/256, a
mixer's weight in 1/65536.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from icmbench.core.jit import compiled

LOGIT_ONE: Final = 256
LOGIT_MAX: Final = 11 * LOGIT_ONE
AGES: Final = 7  # number of classes of slot ages, each with its own mixer weights
OLDEST: Final = 255  # sightings after which a slot's rate of change stays
_WINDOW: Final = 56  # bits of the coder's interval
_TOP: Final = _WINDOW - 8
_MASK: Final = (1 << _WINDOW) - 1
_LEAST: Final = 12  # probabilities of either bit stay at or above 12/65536
_START_RATE: Final = 1300  # of a mixer, in 1/65536; halves as it ages
_END_RATE: Final = 160

# Registers of a coder: low and high end of the interval, decoder's window, place in the buffer.
LOW, HIGH, CODE, PLACE = range(4)

Ints = NDArray[np.int64]


class Model(NamedTuple):
    """The adaptive state: slots and mixers.

    Attributes:
        slots: int32 (n,), probabilities of a 1 bit, 22 bits.
        seen: uint8 (n,), how often each slot was used, up to OLDEST.
        weights: int32 (mixers, inputs, AGES).
        turns: int32 (mixers,), how often each mixer was used.
    """

    slots: NDArray[np.int32]
    seen: NDArray[np.uint8]
    weights: NDArray[np.int32]
    turns: NDArray[np.int32]

    def copy(self) -> Model:
        """An independent copy."""
        return Model(self.slots.copy(), self.seen.copy(), self.weights.copy(), self.turns.copy())


def new_model(slots: int, mixers: int, inputs: int) -> Model:
    """Slots at one half, mixers that trust every slot a little, the more the older it is."""
    weights = np.empty((mixers, inputs, AGES), np.int32)
    weights[:] = np.array([0, 12000, 16000, 19000, 22000, 24000, 26000], np.int32)
    return Model(
        np.full(slots, 1 << 21, np.int32),
        np.zeros(slots, np.uint8),
        weights,
        np.zeros(mixers, np.int32),
    )


def _squash_table() -> NDArray[np.int32]:
    """Probability (16 bits) of every logit from -LOGIT_MAX to LOGIT_MAX."""
    logits = range(-LOGIT_MAX, LOGIT_MAX + 1)
    values = [round(65536 / (1 + math.exp(-x / LOGIT_ONE))) for x in logits]
    return np.clip(np.array(values, np.int32), _LEAST, 65536 - _LEAST)


def _stretch_table() -> NDArray[np.int32]:
    """Logit of every probability of 12 bits, taken at the middle of its step."""
    steps = [(i + 0.5) / 4096 for i in range(4096)]
    return np.array([round(LOGIT_ONE * math.log(p / (1 - p))) for p in steps], np.int32)


SQUASH: Final = _squash_table()
STRETCH: Final = _stretch_table()
_RATE: Final = np.array([65536 * 10 // (10 * n + 16) for n in range(OLDEST + 1)], np.int64)
_AGE: Final = np.array(
    [sum(n >= bound for bound in (1, 2, 4, 8, 20, 60)) for n in range(OLDEST + 1)], np.int64
)


def encoder() -> Ints:
    """Registers of an encoder at its start."""
    return np.array([0, _MASK, 0, 0], np.int64)


@compiled
def decoder(buffer: NDArray[np.uint8]) -> Ints:
    """Registers of a decoder at the start of a buffer; zeros are read behind its end."""
    state = np.array([0, _MASK, 0, 0], np.int64)
    for _ in range(_WINDOW // 8):
        state[CODE] = (state[CODE] << 8) | _next(state, buffer)
    return state


@compiled
def _next(state: Ints, buffer: NDArray[np.uint8]) -> int:
    place = state[PLACE]
    state[PLACE] = place + 1
    if place < buffer.size:
        return np.int64(buffer[place])
    return np.int64(0)


@compiled
def finish(state: Ints, buffer: NDArray[np.uint8]) -> int:
    """Write the fewest bytes that name the interval; returns the length of the trimmed buffer,
    or -1 where the buffer is too small.

    The decoder reads zeros behind the end, so trailing zero bytes need not be stored.
    """
    low, high = state[LOW], state[HIGH]
    place = state[PLACE]
    for count in range(_WINDOW // 8 + 1):
        free = _WINDOW - 8 * count
        value = ((low + (np.int64(1) << free) - 1) >> free) << free
        if low <= value <= high:
            for index in range(count):
                if place + index < buffer.size:
                    buffer[place + index] = (value >> (_TOP - 8 * index)) & 255
            place += count
            break
    if place > buffer.size:
        return -1
    while place > 0 and buffer[place - 1] == 0:
        place -= 1
    return place


def canonical(state: Ints, payload: bytes) -> bytes:
    """The payload that an encoder writes for the symbols that a decoder has read.

    One message, one payload: padding or another number of the same last interval is found out.
    """
    place = int(state[PLACE]) - _WINDOW // 8  # the decoder reads a window ahead
    buffer = np.zeros(place + 16, np.uint8)
    known = np.frombuffer(payload[:place], np.uint8)
    buffer[: known.size] = known
    length = int(finish(np.array([state[LOW], state[HIGH], 0, place], np.int64), buffer))
    return buffer[: max(1, length)].tobytes()


@compiled
def code(
    decoding: bool,
    bit: int,
    chance: int,
    state: Ints,
    buffer: NDArray[np.uint8],
) -> int:
    """Code one bit whose probability of being 1 is `chance` / 65536; returns the bit."""
    low, high = state[LOW], state[HIGH]
    middle = low + ((high - low) >> 16) * chance
    if decoding:
        bit = 1 if state[CODE] <= middle else 0
    if bit:
        high = middle
    else:
        low = middle + 1
    while (low ^ high) >> _TOP == 0:
        if decoding:
            state[CODE] = ((state[CODE] << 8) & _MASK) | _next(state, buffer)
        else:
            if (
                state[PLACE] < buffer.size
            ):  # PLACE beyond the size tells the caller that it was too small
                buffer[state[PLACE]] = low >> _TOP
            state[PLACE] += 1
        low = (low << 8) & _MASK
        high = ((high << 8) & _MASK) | 255
    state[LOW], state[HIGH] = low, high
    return bit


@compiled
def code_golomb(
    decoding: bool,
    value: int,
    longest: int,
    state: Ints,
    buffer: NDArray[np.uint8],
    bits: NDArray[np.float64],
    part: int,
) -> int:
    """Code a number of at least 1 in an Exp-Golomb code of plain bits; returns the number.

    Args:
        longest: most bits behind the leading one; numbers up to 2^(longest + 1) - 1 have a code.
        bits: information content by part of the stream, `bits[part]` is added to.
    """
    length = 0
    while length < longest:
        more = code(decoding, 1 if value >> (length + 1) else 0, 1 << 15, state, buffer)
        bits[part] += 1
        if more == 0:
            break
        length += 1
    read = np.int64(1)
    for place in range(length - 1, -1, -1):
        read = read * 2 + code(decoding, (value >> place) & 1, 1 << 15, state, buffer)
        bits[part] += 1
    return read


@compiled
def code_mixed(
    decoding: bool,
    bit: int,
    state: Ints,
    buffer: NDArray[np.uint8],
    model: Any,
    mixer: int,
    contexts: Ints,
    direct: Ints,
    bits: NDArray[np.float64],
    part: int,
) -> int:
    """Code one bit under several contexts and learn from it; returns the bit.

    Args:
        contexts: indices of the slots whose predictions are mixed.
        direct: further logits, which the mixer weighs as they are.
        bits: information content by part of the stream, `bits[part]` is added to.
    """
    slots, seen, weights, turns = model
    slot_count = contexts.size
    total = np.int64(0)
    for i in range(slot_count):
        slot = contexts[i]
        logit = STRETCH[slots[slot] >> 10]
        total += np.int64(weights[mixer, i, _AGE[seen[slot]]]) * logit
    for i in range(direct.size):
        total += np.int64(weights[mixer, slot_count + i, 0]) * direct[i]
    logit = min(max(total >> 16, -LOGIT_MAX), LOGIT_MAX)
    chance = np.int64(SQUASH[logit + LOGIT_MAX])
    bit = code(decoding, bit, chance, state, buffer)
    bits[part] -= math.log2((chance if bit else 65536 - chance) / 65536)
    rate = _END_RATE + (_START_RATE - _END_RATE) * 64 // (64 + turns[mixer])
    turns[mixer] = min(turns[mixer] + 1, 1 << 20)
    push = ((np.int64(bit) << 16) - chance) * rate
    for i in range(slot_count):
        slot = contexts[i]
        age = _AGE[seen[slot]]
        step = (STRETCH[slots[slot] >> 10] * push + (1 << 23)) >> 24
        weights[mixer, i, age] = min(max(weights[mixer, i, age] + step, -(1 << 19)), 1 << 19)
        goal = ((1 << 22) - 1) if bit else 0
        slots[slot] += ((goal - slots[slot]) * _RATE[seen[slot]]) >> 16
        seen[slot] = min(seen[slot] + 1, OLDEST)
    for i in range(direct.size):
        step = (direct[i] * push + (1 << 23)) >> 24
        at = slot_count + i
        weights[mixer, at, 0] = min(max(weights[mixer, at, 0] + step, -(1 << 19)), 1 << 19)
    return bit
