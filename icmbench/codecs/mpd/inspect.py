"""Contents of a stream, state by state: palette entries, bytes of the file, bits by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from icmbench.bitstream import container
from icmbench.codecs.mpd.palette.hierarchy import STATES
from icmbench.codecs.mpd.stream.coder import BIT_KINDS, FINEST, State, sections_of_state
from icmbench.models.latent import CELL, latent_shape

if TYPE_CHECKING:  # it loads networks; the names of the parts are read without them
    from icmbench.codecs.mpd.mpd_model import MPDModel

# `BIT_KINDS` of a section, then what surrounds them.
SECTION_BITS: Final = (*BIT_KINDS, "frame", "rounding")
_STEPS_PER_BIT: Final = 256  # information is kept in 1/256 bit: sums of parts are then exact


@dataclass(frozen=True)
class Layer:
    """One state of a stream and the section that it adds.

    Attributes:
        state: t, 7 the coarsest; the palette of state 0 is refined below 0.
        shown: the decoded state; for a state without a section, that of the coarser state.
        bytes: size of the file truncated at this state.
        bits: of its section by `SECTION_BITS`. `frame`: length field and checksum, in the first
            state the header as well; `rounding`: 8 times the payload's bytes less the information
            in it, negative where trailing bytes could be left out. They add up, over the states
            from 7 on, to 8 times `bytes`, exactly.
    """

    state: int
    shown: State
    bytes: int
    bits: Mapping[str, float]


def layers(model: MPDModel, stream: bytes) -> list[Layer]:
    """The states of a stream, coarsest first, including states without a section.

    Raises as `container.parse` and `MPDModel.states` do.
    """
    parsed = container.parse(stream, weights_digest=model.digest, unit=CELL)
    return split_layers(parsed, model.states(parsed))


def split_layers(parsed: container.Stream, states: Sequence[State]) -> list[Layer]:
    """`layers` of a parsed stream whose sections were decoded to `states`."""
    height, width = latent_shape(parsed.header.height, parsed.header.width)
    found: list[Layer] = []
    done = start = 0
    for t in range(STATES - 1, FINEST - 1, -1):
        wanted = sections_of_state(height * width, t)
        if wanted > len(parsed.sections):
            break
        bits = dict.fromkeys(SECTION_BITS, 0.0)
        if wanted > done:
            payload, end = parsed.sections[done], parsed.ends[done]
            bits = _section_bits(states[done], len(payload), end - start)
            done, start = wanted, end
        found.append(Layer(t, states[done - 1], start, bits))
    return found


def _section_bits(state: State, payload: int, size: int) -> dict[str, float]:
    """Bits by part of a section of `size` bytes with its frame, of which `payload` are payload."""
    information = [round(float(bits) * _STEPS_PER_BIT) / _STEPS_PER_BIT for bits in state.bits]
    return {
        **dict(zip(BIT_KINDS, information, strict=True)),
        "frame": float(8 * (size - payload)),
        "rounding": 8 * payload - sum(information),
    }
