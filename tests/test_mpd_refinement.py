"""The refinement sections: exact bounds, every prefix, every byte accounted for."""

from __future__ import annotations

import functools
from itertools import pairwise

import numpy as np
import pytest
from conftest import make_picture
from hypothesis import given
from hypothesis import strategies as st
from latents import _make, latents, photograph
from test_mpd_damage import FIXED, peak_of
from test_mpd_stream import assert_bytes, digest, golden_tables, trained_model
from tiny_model import tiny_models

from icmbench.bitstream import arithmetic, container
from icmbench.codecs.mpd import codec as keys
from icmbench.codecs.mpd.codec import Mpd
from icmbench.codecs.mpd.inspect import SECTION_BITS, layers
from icmbench.codecs.mpd.networks.reverse import project
from icmbench.codecs.mpd.palette.hierarchy import STATES
from icmbench.codecs.mpd.palette.rdo import latent_error
from icmbench.codecs.mpd.stream import contexts as ctx
from icmbench.codecs.mpd.stream import refinement as ref
from icmbench.codecs.mpd.stream.coder import (
    BIT_KINDS,
    FINEST,
    State,
    palette_states,
    section_states,
    walk_sections,
)
from icmbench.codecs.mpd.stream.encoder import encode_latent
from icmbench.core.errors import CodecError, CorruptStream, TruncatedStream
from icmbench.models.latent import LIMIT, SCALE

HEADER = container.Header(1, b"wxyz", 640, 427)
REFINEMENTS = 6


def wide(height: int, width: int, seed: int, channels: int = 6) -> np.ndarray:
    """A latent of more channels than the palettes of these tests carry."""
    parts = [photograph(height, width, seed + index) for index in range(-(-channels // 4))]
    return np.concatenate(parts, axis=2)[:, :, :channels]


@functools.cache
def coded(seed: int = 1) -> tuple[np.ndarray, list[bytes], list[State]]:
    latent = wide(40, 48, seed)
    return latent, *encode_latent(latent, carried=4, refine=REFINEMENTS)


def decode(payloads: list[bytes], latent: np.ndarray, carried: int) -> list[State]:
    model = ctx.fresh_model()
    shape = latent.shape
    return list(walk_sections(payloads, shape[:2], carried, model, None, shape[2]))


def assert_same(ours: State, theirs: State, channels: int) -> None:
    assert ours.state == theirs.state
    assert ours.bits.tolist() == theirs.bits.tolist()
    assert (ours.latent(channels) == theirs.latent(channels)).all()
    one, other = ours.bounds, theirs.bounds
    assert (one is None) == (other is None) == (ours.state >= 0)
    assert one is None or np.array_equal(one, other)


@given(latent=latents(12), rdo=st.sampled_from([0.0, 0.02, 1.0, 64.0]), narrow=st.booleans())
def test_every_prefix_decodes_to_what_the_encoder_holds(
    latent: np.ndarray, rdo: float, narrow: bool
) -> None:
    channels = latent.shape[2]
    carried = (channels + 1) // 2 if narrow else channels
    payloads, states = encode_latent(latent, carried=carried, rdo=rdo, refine=REFINEMENTS)
    cells = latent.shape[0] * latent.shape[1]
    assert [state.state for state in states] == section_states(cells)
    assert_bytes(payloads, states, HEADER)
    for count in range(1, len(payloads) + 1):
        found = decode(payloads[:count], latent, carried)
        assert len(found) == count
        assert_same(found[-1], states[count - 1], channels)
    plain = encode_latent(np.ascontiguousarray(latent[:, :, :carried]), rdo=rdo)[0]
    assert payloads[:-REFINEMENTS] == plain  # the palette knows nothing of what follows


@given(latent=latents(12), rdo=st.sampled_from([0.02, 1.0]))
def test_bounds(latent: np.ndarray, rdo: float) -> None:
    """They contain the original and z_t, are nested, and half as wide from plane to plane."""
    _, states = encode_latent(latent, rdo=rdo, refine=REFINEMENTS)
    base = states[-REFINEMENTS - 1].latent()
    refined = states[-REFINEMENTS:]
    for state in refined:
        assert state.refined is not None
        (low, high), known = state.bounds, state.refined
        assert (low <= latent).all()
        assert (latent <= high).all()
        assert (low <= state.latent()).all()
        assert (state.latent() <= high).all()
        exact = np.sign(latent - base) * (np.abs(latent - base) // known.threshold)
        assert (known.levels == exact).all()
        assert (high - low <= np.where(known.levels == 0, 2, 1) * known.threshold - 1).all()
    for coarse, fine in pairwise(refined):
        assert coarse.refined.threshold == 2 * fine.refined.threshold
        assert (coarse.bounds[0] <= fine.bounds[0]).all()
        assert (fine.bounds[1] <= coarse.bounds[1]).all()


@pytest.mark.parametrize("seed", [1, 20, 300])
def test_error_and_rate_are_monotone(seed: int) -> None:
    """And steep: six planes take the error of state 0 to a few thousandths."""
    latent, payloads, states = coded(seed)
    errors = latent_error(states, latent)
    assert (np.diff(errors) < 0).all()
    assert errors[-1] < 0.003 * errors[-REFINEMENTS - 1]
    assert all(payloads)


def test_the_first_threshold_follows_the_strength() -> None:
    """A fourfold lambda is a threshold twice as large; no first level is above 16."""
    latent = wide(40, 48, 5)
    found = {}
    for rdo in (0.0, 0.25, 1.0, 4.0):
        first = encode_latent(latent, carried=4, rdo=rdo, refine=1)[1][-1].refined
        assert first is not None
        found[rdo] = first.threshold
        assert np.abs(first.levels).max() <= 17
    assert found[0.0] == found[1.0]
    for low, high in ((0.25, 1.0), (1.0, 4.0)):
        assert found[high] / found[low] == pytest.approx(2, rel=0.1)


def test_thresholds_are_exact_halves() -> None:
    for size in range(ref.SIZES):
        found = ref.thresholds(size)
        assert len(found) == REFINEMENTS
        assert [2 * fine for fine in found[1:]] == found[:-1]
        assert found[-1] >= 1
        assert ref.thresholds(ref.nearest_size(found[0])) == found
    assert ref.thresholds(ref.SIZES - 1)[0] > 3 * LIMIT  # a mean is within 2, a latent within 1


def test_constants_of_the_codec() -> None:
    """The codec's file names them without loading the compiler."""
    assert STATES - 1 == keys.COARSEST
    assert -FINEST == keys.REFINEMENTS == ref.REFINEMENTS == REFINEMENTS
    assert Mpd.cut_keys["state"].low == FINEST


def test_trained_contexts_shorten_the_planes() -> None:
    latent = photograph(40, 48, 3)
    fresh = encode_latent(latent, refine=REFINEMENTS)[0]
    trained = encode_latent(latent, refine=REFINEMENTS, adaptive=trained_model(golden_tables()))[0]
    for plane in (-6, -5, -4):
        assert len(trained[plane]) < len(fresh[plane])


def zero_order(symbols: np.ndarray) -> float:
    counts = np.unique(symbols, return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum())


def test_contexts_beat_the_zero_order_entropy() -> None:
    """Of significance, with its sign, and of further bits, per channel and plane."""
    latent = photograph(96, 128, 4)
    _, states = encode_latent(latent, refine=REFINEMENTS, adaptive=trained_model(golden_tables()))
    ours = theirs = 0.0
    before = np.zeros(latent.shape, np.int32)
    for state in states[-REFINEMENTS:]:
        assert state.refined is not None
        levels = state.refined.levels
        for c in range(latent.shape[2]):
            known = before[:, :, c] != 0
            theirs += zero_order(levels[:, :, c][~known]) + zero_order(levels[:, :, c][known] & 1)
        ours += state.bits[BIT_KINDS.index("refinement")]
        before = levels
    assert ours < 0.97 * theirs


@pytest.mark.parametrize("index", range(-REFINEMENTS, 0))
def test_one_payload_per_message(index: int) -> None:
    """Padding, another number of the same interval, or nothing at all: no encoder writes it.

    An altered payload may by chance be that of another message.
    """
    latent, payloads, states = coded()
    before, own = payloads[: len(payloads) + index], payloads[index]
    altered = [own + junk for junk in (b"\x00", b"\x01", b"\x80\x00\x01", b"\xff" * 9)]
    refused = 0
    for payload in (*altered, own[: len(own) // 2]):
        try:
            found = decode([*before, payload], latent, 4)[-1]
        except CorruptStream:
            refused += 1
        else:
            assert (found.latent() != states[index].latent()).any()
    assert refused >= 3
    for payload in (b"", own + b"\x00"):
        with pytest.raises(CorruptStream, match=r"refinement section|of state -"):
            decode([*before, payload], latent, 4)


def test_too_many_sections() -> None:
    latent, payloads, _ = coded()
    with pytest.raises(CorruptStream, match="sections"):
        decode([*payloads, payloads[-1]], latent, 4)


@pytest.mark.parametrize(("residual", "legal"), [(500, True), (9000, False), (-9000, True)])
def test_latents_beyond_their_range(residual: int, legal: bool) -> None:
    """A cell whose mean is near the end, written by our own coder without its checks."""
    latent = np.full((1, 1, 1), 32000, np.int16)
    payloads, states = encode_latent(latent)
    field = ref.new_field(states[-1].labels, states[-1].palette, 1)
    model, bits = ctx.fresh_model(), np.zeros(4)
    list(walk_sections(payloads, (1, 1), 1, model, None))
    buffer, registers = np.zeros(99, np.uint8), arithmetic.encoder()
    size, goal = ref.nearest_size(1024), np.full((1, 1, 1), residual, np.int32)
    centres = np.full(2, 16)
    ref.code_plane(False, 0, size, centres, registers, buffer, model, field, goal, bits)
    payloads.append(buffer[: arithmetic.finish(registers, buffer)].tobytes())
    if legal:
        assert abs(int(decode(payloads, latent, 1)[-1].latent()[0, 0, 0]) - 32000 - residual) < 1024
    else:
        with pytest.raises(CorruptStream, match="impossible latents"):
            decode(payloads, latent, 1)


def test_a_projection_never_increases_the_error() -> None:
    latent, _, states = coded()
    goal = latent / np.float32(SCALE)
    for state in states[-REFINEMENTS:]:
        guess = (goal + np.random.default_rng(1).normal(0, 0.2, goal.shape)).astype(np.float32)
        found = project(guess, state)
        assert (np.abs(found - goal) <= np.abs(guess - goal) + 1e-6).all()
        low, high = (bound / SCALE for bound in state.bounds)
        assert ((found >= low - 1e-6) & (found <= high + 1e-6)).all()


@functools.cache
def mpd() -> Mpd:
    return Mpd(models=tiny_models())


@functools.cache
def whole() -> bytes:
    return mpd().encode(make_picture(72, 80))


def test_refine_is_a_number_of_sections() -> None:
    """Each a prefix of the next; all by default; `state` cuts them off."""
    image = make_picture(72, 80)
    ends = container.parse(whole()).ends
    assert len(ends) == len(section_states(90))
    for refine in range(REFINEMENTS + 1):
        stream = mpd().encode(image, refine=refine)
        assert stream == whole()[: ends[len(ends) - 1 - REFINEMENTS + refine]]
        assert mpd().truncate(whole(), state=-refine) == stream
        assert mpd().truncate(stream) == mpd().truncate(whole())
        if refine < REFINEMENTS:
            with pytest.raises(TruncatedStream, match=f"ends at state {-refine}, "):
                mpd().truncate(stream, state=-refine - 1)


def test_every_state_has_its_line_and_its_layer() -> None:
    lines = dict(mpd().describe(whole()))
    found = layers(mpd().model, whole())
    assert [layer.state for layer in found] == list(range(7, FINEST - 1, -1))
    for layer in found[-REFINEMENTS:]:
        assert "steps of" in lines[f"state {layer.state}"]
        assert f"ends at {layer.bytes} B" in lines[f"state {layer.state}"]
        assert len(mpd().truncate(whole(), state=layer.state)) == layer.bytes
        assert {name for name in SECTION_BITS if layer.bits[name]} <= {
            "refinement", "frame", "rounding",
        }  # fmt: skip
    assert found[-1].bytes == len(whole())


def test_damage_keeps_the_states_before() -> None:
    ends = container.parse(whole()).ends
    for state in range(-1, FINEST - 1, -1):
        damaged = bytearray(whole())
        damaged[ends[len(ends) - REFINEMENTS + (-state - 1)] - 1] ^= 4
        with pytest.raises(CorruptStream):
            mpd().decode(bytes(damaged))
        kept, name = mpd().salvage(bytes(damaged))
        assert (kept, name) == (mpd().truncate(whole(), state=state + 1), f"state={state + 1}")


def test_target_sizes_above_the_palette() -> None:
    """At most N bytes, never worse than the plain stream cut, and most of the room is used."""
    image = make_picture(72, 80)
    ends, latent = container.parse(whole()).ends, mpd().model.latent(image)
    errors = latent_error(mpd().model.states(container.parse(whole())), latent)
    first = len(palette_states(90)) - 1
    used = []
    for index in range(first, len(ends) - 1):
        for share in (0.0, 0.4, 0.8):
            limit = int(ends[index] + share * (ends[index + 1] - ends[index]))
            stream = mpd().encode(image, bytes=limit)
            assert len(stream) <= limit
            own = latent_error(mpd().model.states(container.parse(stream)), latent)[-1]
            assert own <= errors[index]
            used.append(len(stream) / limit)
    assert mpd().encode(image, bytes=len(whole())) == whole()
    assert np.mean(used) > 0.9
    capped = mpd().encode(image, bytes=len(whole()), refine=2)
    assert capped == mpd().encode(image, refine=2)
    with pytest.raises(CodecError, match="coarsest state alone takes"):
        mpd().encode(image, bytes=10)


def test_memory_of_refined_streams() -> None:
    """Less than three times the image, all states held at once."""
    image = np.tile(make_picture(64, 64), (24, 20, 1))
    peak, end = peak_of(mpd().encode(image))
    assert end == "decoded"
    assert peak <= 3 * image.size + FIXED


GOLDEN_LATENT = wide(9, 7, 7)
GOLDEN = {
    "states": "e1dfcd25fd7bb8b31deb7afbc06ff3aaff5fc8e20de531b0b501fc9c5ce6abef",
    "streams": {"trained": "411f6abf530c1a27", "untrained": "d51ea72e0f063569"},
}


def test_golden_streams() -> None:
    """The encoder's bytes, untrained and trained."""
    found = {}
    for name, model in (("untrained", None), ("trained", trained_model(golden_tables()))):
        payloads, _ = encode_latent(GOLDEN_LATENT, carried=4, refine=REFINEMENTS, adaptive=model)
        found[name] = digest(*payloads)[:16]
    assert found == GOLDEN["streams"]


GOLDEN_PAYLOADS = [
    "65a7",
    "5c31dbb3",
    "96a39a",
    "5cc07a80d3",
    "9d6961b5d5b2b8bf8bb24bdaa7dedaa3fb",
    "9cd11b150f41d55b7e0cb1e35b8b",
    "84c011019d5262ae5568420f",
    "947d504a1743c17fa37504",
    "dc725cdacad662290fd4",
    "843b57a39cbe86bfb2",
]


def test_golden_decoding() -> None:
    """Stored bytes say today what they said when they were written: integers from end to end."""
    small = _make("photograph", (5, 4), 3, 7)
    payloads = [bytes.fromhex(text) for text in GOLDEN_PAYLOADS]
    states = decode(payloads, small, 2)
    assert payloads == encode_latent(small, carried=2, refine=REFINEMENTS)[0]
    parts = [
        part.astype("<i4").tobytes()
        for state in states[-REFINEMENTS:]
        for part in (state.latent(), *state.bounds)
    ]
    assert digest(*parts) == GOLDEN["states"]
