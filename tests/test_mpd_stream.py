"""The stream: decoder and encoder hold the same states, every byte is accounted for."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from conftest import make_picture
from hypothesis import example, given
from hypothesis import strategies as st
from latents import _make, latents, noise, photograph
from tiny_model import tiny_models

from icmbench.bitstream import arithmetic, container
from icmbench.codecs.mpd.codec import Mpd
from icmbench.codecs.mpd.palette.hierarchy import build_hierarchy, entry_limits
from icmbench.codecs.mpd.palette.plan import make_plan, split_states
from icmbench.codecs.mpd.palette.rdo import SLOPE, latent_error, optimise
from icmbench.codecs.mpd.palette.shared_palette import SharedPalette, make_shared_palette
from icmbench.codecs.mpd.stream import contexts as ctx
from icmbench.codecs.mpd.stream import section as sec
from icmbench.codecs.mpd.stream.coder import (
    SHARED_CHANCE,
    State,
    encode_sections,
    palette_states,
    sections_of_state,
    walk_sections,
)
from icmbench.codecs.mpd.stream.encoder import encode_latent
from icmbench.codecs.mpd.training.contexts import context_arrays
from icmbench.core.errors import CodecError, ConfigError, CorruptStream

HEADER = container.Header(1, b"wxyz", 640, 427)
STRUCTURED = [photograph(48, 64, seed) for seed in (1, 2, 3)]


def cells_of(latent: np.ndarray) -> int:
    return latent.shape[0] * latent.shape[1]


def decode(
    payloads: list[bytes],
    latent: np.ndarray,
    model: arithmetic.Model | None = None,
    shared: SharedPalette | None = None,
) -> list[State]:
    model = ctx.fresh_model() if model is None else model.copy()
    shape = latent.shape
    return list(walk_sections(payloads, shape[:2], shape[2], model, shared))


def assert_same(ours: list[State], theirs: list[State]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.state == other.state
        assert one.palette.tolist() == other.palette.tolist()
        assert one.labels.tolist() == other.labels.tolist()
        assert one.bits.tolist() == other.bits.tolist()


def assert_states(states: list[State], latent: np.ndarray) -> None:
    """What holds of any stream: sizes, no empty entry, Markov from state to state."""
    limits = entry_limits(cells_of(latent))
    for state in states:
        assert state.palette.shape[0] <= limits[state.state]
        assert state.palette.shape[1] == latent.shape[2]
        assert set(state.labels.ravel().tolist()) <= set(range(len(state.palette)))
    for coarse, fine in pairwise(states):
        pairs = set(zip(fine.labels.ravel(), coarse.labels.ravel(), strict=True))
        assert len(pairs) == len(set(fine.labels.ravel().tolist()))


def assert_bytes(payloads: list[bytes], states: list[State], header: container.Header) -> None:
    """12 to 14 bytes of header, at most 4 a section, payloads as long as their information."""
    data = container.pack(header, payloads)
    parsed = container.parse(data)
    assert 12 <= parsed.header_bytes <= 14
    frames = len(data) - parsed.header_bytes - sum(map(len, payloads))
    assert frames <= 4 * len(payloads)
    for payload, state in zip(payloads, states, strict=True):
        assert len(payload) <= state.bits.sum() / 8 + 2
        # Trimmed zeros: each further byte has a chance of 1 in 256.
        assert len(payload) >= state.bits.sum() / 8 - 4


@given(latent=latents(), rdo=st.sampled_from([0.0, 0.25, 1.0, 8.0, 64.0]))
@example(latent=_make("photograph", (24, 6), 4, 1471), rdo=8.0)
def test_decoder_holds_what_the_encoder_holds(latent: np.ndarray, rdo: float) -> None:
    """Labels, palette, information content, in every state and for every prefix."""
    payloads, states = encode_latent(latent, rdo=rdo)
    assert [state.state for state in states] == palette_states(cells_of(latent))
    for count in range(1, len(payloads) + 1):
        assert_same(decode(payloads[:count], latent), states[:count])
    assert_states(states, latent)
    assert_bytes(payloads, states, HEADER)
    again, _ = encode_latent(latent, rdo=rdo)
    assert again == payloads


def test_a_state_that_splits_nothing_leaves_no_trace() -> None:
    """Pruning may close all merges of a state and keep some of a finer one open."""
    seen = 0
    for seed in range(220):
        latent = photograph(6 + seed % 17, 5 + seed % 13, seed)
        payloads, states = encode_latent(latent, rdo=8.0)
        empty = [index for index, payload in enumerate(payloads) if not payload]
        if empty and any(payloads[empty[0] :]):
            assert_same(decode(payloads, latent), states)
            seen += 1
            if seen == 3:
                return
    assert seen


@given(latent=latents())
def test_without_optimisation_all_entries_are_there(latent: np.ndarray) -> None:
    """K_t of them, or as many as there are cells that differ in the palette's precision."""
    _, states = encode_latent(latent, rdo=0)
    different = len(np.unique(latent.reshape(-1, latent.shape[2]) >> 3, axis=0))
    limits = entry_limits(cells_of(latent))
    assert [len(s.palette) for s in states] == [min(limits[s.state], different) for s in states]
    for state in states:
        assert set(state.labels.ravel().tolist()) == set(range(len(state.palette)))


def trace(latent: np.ndarray) -> tuple[sec.Nodes, np.ndarray, list[int], list[int], list[bytes]]:
    """The decoder's tree after the last section, the owners of the cells, the number of nodes
    before every section, log2 of its offsets' unit, and the payloads."""
    shape, channels = latent.shape[:2], latent.shape[2]
    limits = entry_limits(cells_of(latent))
    hierarchy = build_hierarchy(latent.reshape(-1, channels), limits[0])
    states = split_states(hierarchy.leaves, limits)
    labels, closed, steps, _ = optimise(hierarchy, latent, states, 0)
    plan = make_plan(hierarchy, labels, latent, states, closed)
    payloads, _ = encode_sections(plan, shape, steps, ctx.fresh_model())
    nodes, owner = sec.new_nodes(channels, cells_of(latent)), np.zeros(shape, np.int16)
    model, plan, bits = ctx.fresh_model(), sec.empty_plan(channels), np.zeros(3)
    born: list[int] = []
    known = palette_states(cells_of(latent))
    for index, (t, payload) in enumerate(zip(known, payloads, strict=True)):
        born.append(int(nodes.meta[0]))
        if not payload:
            continue
        buffer = np.frombuffer(payload, np.uint8).copy()
        registers = arithmetic.decoder(buffer)
        if index == 0:
            assert arithmetic.code(True, 0, SHARED_CHANCE, registers, buffer) == 0
            sec.code_root(True, registers, buffer, nodes, plan)
        args = (registers, buffer, model, nodes, owner, plan, bits)
        assert sec.code_section(True, t, limits[t], 0, *args) == sec.OK
    return nodes, owner, born, [steps[t] for t in known], payloads


@given(latent=latents())
@example(latent=STRUCTURED[0])
def test_means(latent: np.ndarray) -> None:
    """Decoded means against the cells' own, in exact fractions.

    An offset is rounded to its unit u: the first child is off by what its parent is off and u/2 at
    most. The second lies where the parent's decoded mean is kept: off by the parent's and by
    u/2 n_a/n_b, and 1/2 for its own rounding. The root: half a step of int8, one at the ends.
    """
    nodes, owner, born, steps, payloads = trace(latent)
    assert encode_latent(latent, rdo=0)[0] == payloads
    count = int(nodes.meta[0])
    sums = [[0] * latent.shape[2] for _ in range(count)]
    sizes = [0] * count
    for cell, values in zip(owner.ravel(), latent.reshape(-1, latent.shape[2]), strict=True):
        sizes[cell] += 1
        sums[cell] = [total + int(value) for total, value in zip(sums[cell], values, strict=True)]
    for node in range(count - 1, -1, -1):
        child = int(nodes.first[node])
        if child:
            sizes[node] = sizes[child] + sizes[child + 1]
            pair = zip(sums[child], sums[child + 1], strict=True)
            sums[node] = [one + other for one, other in pair]
    assert sizes == nodes.cells[:count].tolist()
    true = [[Fraction(total, size) for total in row] for row, size in zip(sums, sizes, strict=True)]
    extreme = max(map(abs, true[0])) > 127 * 256
    bound = [Fraction(256 if extreme else 128)] + [Fraction(0)] * (count - 1)
    for node in range(count):
        error = max(abs(int(m) - t) for m, t in zip(nodes.means[node], true[node], strict=True))
        assert error <= bound[node]
        child = int(nodes.first[node])
        if not child:
            continue
        small, large = sizes[child], sizes[child + 1]
        assert 1 <= small <= large
        section = max(index for index, number in enumerate(born) if number <= child)
        half = Fraction(256 << steps[section], 2)
        bound[child] = bound[node] + half
        bound[child + 1] = bound[node] + half * Fraction(small, large) + Fraction(1, 2)
        for channel in range(latent.shape[2]):
            kept = small * nodes.means[child, channel] + large * nodes.means[child + 1, channel]
            drift = int(kept) - sizes[node] * int(nodes.means[node, channel])
            assert abs(2 * drift) <= large


def objective(latent: np.ndarray, rdo: float, slopes: list[float]) -> float:
    """Sum over states of D_t / lambda_t + R_t in bits, with real bytes."""
    payloads, states = encode_latent(latent, rdo=rdo)
    data = container.pack(HEADER, payloads)
    ends = container.parse(data).ends
    total = 0.0
    for state, end, slope in zip(states, ends, slopes, strict=True):
        error = ((state.latent() - latent.astype(np.float64)) ** 2).sum()
        total += error / slope + 8 * end
    return total


@pytest.mark.parametrize("index", range(3))
def test_optimised_labels_are_worth_it(index: int) -> None:
    """What `rdo` minimises is lower by more than 3 %, and a strong one takes fewer bytes still."""
    latent = STRUCTURED[index]
    payloads, states = encode_latent(latent, rdo=0)
    slopes = [
        SLOPE * ((state.latent() - latent.astype(np.float64)) ** 2).sum(2).mean()
        for state in states
    ]
    plain, better = (objective(latent, rdo, slopes) for rdo in (0, 1))
    assert better < 0.97 * plain
    sizes = [sum(map(len, encode_latent(latent, rdo=rdo)[0])) for rdo in (0, 1, 4, 16)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 4
    assert sizes[0] == sum(map(len, payloads))


def test_trained_contexts_shorten_the_stream() -> None:
    """And they are what the decoder needs: without them the same bytes say something else."""
    tables = context_arrays(STRUCTURED[:2])
    trained = trained_model(tables)
    before = [array.copy() for array in trained]
    fresh, _ = encode_latent(STRUCTURED[2])
    payloads, states = encode_latent(STRUCTURED[2], adaptive=trained)
    for array, old in zip(trained, before, strict=True):
        assert (array == old).all()  # coding an image teaches the model nothing
    assert sum(map(len, payloads)) < 0.97 * sum(map(len, fresh))
    assert_same(decode(payloads, STRUCTURED[2], trained), states)
    try:
        wrong = decode(payloads, STRUCTURED[2])
    except CorruptStream:
        return
    assert wrong[-1].labels.tolist() != states[-1].labels.tolist()


def trained_model(tables: dict[str, np.ndarray]) -> arithmetic.Model:
    model = ctx.fresh_model()
    model.slots[: ctx.SHARED] = tables["slots"]
    model.seen[: ctx.SHARED] = tables["seen"]
    model.weights[:] = tables["weights"]
    model.turns[:] = tables["turns"]
    return model


SHARED = make_shared_palette(STRUCTURED[:2])
SMALL_SHARED = make_shared_palette([_make("two", (5, 5), 4, 1)])


@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    seed=st.integers(0, 999),
    rdo=st.sampled_from([0.0, 1.0, 16.0]),
    shared=st.sampled_from([SHARED, SMALL_SHARED]),
)
def test_dataset_palette(
    height: int, width: int, seed: int, rdo: float, shared: SharedPalette
) -> None:
    """The model's own palette: same states on both sides, entries cost nothing."""
    latent = photograph(height, width, seed)
    payloads, states = encode_latent(latent, rdo=rdo, shared=shared)
    limits = entry_limits(height * width)
    for count in range(1, len(payloads) + 1):
        assert_same(decode(payloads[:count], latent, None, shared), states[:count])
    assert_states(states, latent)
    assert_bytes(payloads, states, HEADER)
    for state in states:
        assert state.bits[0] == state.bits[1] == 0
        assert len(state.palette) == min(limits[state.state], shared.left.size + 1)
        known = set(map(tuple, shared.means.tolist()))
        assert set(map(tuple, state.palette.tolist())) <= known


def test_dataset_palette_takes_the_nearest_entry() -> None:
    """Without optimisation, and where the palette is whole."""
    latent = STRUCTURED[2]
    _, states = encode_latent(latent, rdo=0, shared=SHARED)
    gaps = latent[:, :, None, :].astype(np.int64) - SHARED.means[:256]
    nearest = (gaps**2).sum(3).min(2)
    ours = ((latent - states[-1].latent().astype(np.int64)) ** 2).sum(2)
    assert (ours == nearest).all()


def test_dataset_palette_of_a_model_without_one() -> None:
    payloads, _ = encode_latent(STRUCTURED[2], shared=SHARED)
    with pytest.raises(CorruptStream, match="the model has none"):
        decode(payloads, STRUCTURED[2])


def test_dataset_palette_is_stored_whole() -> None:
    again = SharedPalette.read(SHARED.arrays(), 4)
    for name in ("left", "right", "means"):
        assert (getattr(again, name) == getattr(SHARED, name)).all()


@pytest.mark.parametrize("cells", [1, 3, 4, 8, 12, 40, 1024, 5000])
def test_sections_of_states(cells: int) -> None:
    """A section for every state that may have more entries than the one before, and no other."""
    limits, known = entry_limits(cells), palette_states(cells)
    assert known[0] == 7
    for state in range(8):
        finest = known[sections_of_state(cells, state) - 1]
        assert finest >= state
        assert limits[finest] == limits[state]
    assert len({limits[t] for t in known}) == len(known)


def test_wrong_number_of_sections() -> None:
    latent = STRUCTURED[0]
    payloads, _ = encode_latent(latent)
    for wrong in ([], [*payloads, b"\1"], [b"", *payloads[1:]]):
        with pytest.raises(CorruptStream):
            decode(wrong, latent)


@pytest.mark.parametrize("palette", ["image", "dataset"])
def test_target_size(palette: str) -> None:
    """At most N bytes, decodable, never worse than the plain stream cut at the last whole state."""
    codec = Mpd(models=tiny_models())
    image = make_picture(72, 80)
    latent = codec.model.latent(image)
    plain = codec.encode(image, palette=palette)
    parsed = container.parse(plain)
    errors = latent_error(codec.model.states(parsed), latent)
    for limit in (parsed.ends[2] - 1, parsed.ends[-1] - 1, len(plain)):
        stream = codec.encode(image, palette=palette, bytes=limit)
        assert len(stream) <= limit
        ours = latent_error(codec.model.states(container.parse(stream)), latent)[-1]
        cut = [error for error, end in zip(errors, parsed.ends, strict=True) if end <= limit]
        assert ours <= min(cut)
        assert codec.decode(stream, decoder="mean").shape == image.shape
    middle = (parsed.ends[-2] + parsed.ends[-1]) // 2
    if palette == "image":  # between two states another strength fills the room
        assert len(codec.encode(image, palette=palette, bytes=middle)) > parsed.ends[-2]
    with pytest.raises(CodecError, match="coarsest state alone takes"):
        codec.encode(image, palette=palette, bytes=parsed.header_bytes + 3)


GOLDEN_LATENTS = {
    "photograph": photograph(20, 24, 7),
    "noise": noise((9, 14, 3), 7).astype(np.int16),
    "two": _make("two", (8, 8), 4, 7),
}
GOLDEN_DECODED = photograph(12, 12, 7)
GOLDEN_PAYLOADS = [
    "74b5a59b",
    "5cc8b54a460dcff86028011a",
    "9b465fa8fc9bbbfbc5",
    "76f34565d0f3569fbec3ecf4d1b3",
    "17c6f4517b42aa9aeb70a71e722f09eb6944feee8c9ba2e0",
    "091d5f10cd972f8ce90aea0c390ac56171151a3e0b02b22e0c908387677557f29ff7",
    "0764e18ef18b727ce0bf1077bf6816f202c38154f613c8e2f5e4d3735e32e9d3",
]
GOLDEN = {
    "noise": {"untrained rdo=0": "d7c140c4b61c5c12", "untrained rdo=1": "90cd3b7df1b1ee19"},
    "photograph": {
        "trained rdo=0": "5661fce420b54bb9",
        "trained rdo=1": "367c94260beafb88",
        "untrained rdo=0": "47d32d5b18e7f3d8",
        "untrained rdo=1": "ea80ea469922e659",
    },
    "states": "dc21753e625d8c99351ebefc8a27668a570adf34c76b7c581ae861adb61919f9",
    "two": {
        "trained rdo=0": "ebf5215532784620",
        "trained rdo=1": "ebf5215532784620",
        "untrained rdo=0": "2106b10ae6789430",
        "untrained rdo=1": "2106b10ae6789430",
    },
}


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def golden_tables() -> dict[str, np.ndarray]:
    return context_arrays([photograph(16, 16, 8), photograph(12, 20, 9)])


@pytest.mark.parametrize("name", GOLDEN_LATENTS)
def test_golden_streams(name: str) -> None:
    """The encoder's bytes, plain and optimised, untrained and trained."""
    latent = GOLDEN_LATENTS[name]
    models = {"untrained": None}
    if latent.shape[2] == 4:
        models["trained"] = trained_model(golden_tables())
    found = {
        f"{kind} rdo={rdo}": digest(*encode_latent(latent, rdo=rdo, adaptive=model)[0])[:16]
        for kind, model in models.items()
        for rdo in (0, 1)
    }
    assert found == GOLDEN[name]


def test_golden_decoding() -> None:
    """Stored bytes say today what they said when they were written: integers from end to end."""
    payloads = [bytes.fromhex(text) for text in GOLDEN_PAYLOADS]
    states = decode(payloads, GOLDEN_DECODED)
    assert payloads == encode_latent(GOLDEN_DECODED)[0]
    parts = [
        part
        for state in states
        for part in (state.labels.astype("<i2").tobytes(), state.palette.astype("<i4").tobytes())
    ]
    assert digest(*parts) == GOLDEN["states"]


def test_one_payload_per_message() -> None:
    """Padding, or another number of the same last interval, is not what an encoder writes."""
    latent = STRUCTURED[0]
    payloads, _ = encode_latent(latent)
    for index in range(len(payloads)):
        for junk in (b"\x00", b"\x01", b"\x80\x00\x01", b"\xff" * 9):
            longer = [*payloads[:index], payloads[index] + junk, *payloads[index + 1 :]]
            with pytest.raises(CorruptStream):
                decode(longer, latent)


@pytest.mark.parametrize("fault", ["channels", "range", "orphan", "order"])
def test_a_palette_that_is_none_is_refused(fault: str) -> None:
    arrays = {name: array.copy() for name, array in SHARED.arrays().items()}
    if fault == "channels":
        arrays["palette.means"] = arrays["palette.means"][:, :2]
    elif fault == "range":
        arrays["palette.means"][3, 1] = 1 << 20
    elif fault == "orphan":
        arrays["palette.left"][1] = arrays["palette.left"][0]
    else:
        arrays["palette.left"][0], arrays["palette.left"][-1] = (
            arrays["palette.left"][-1],
            arrays["palette.left"][0],
        )
    with pytest.raises(ConfigError):
        SharedPalette.read(arrays, 4)
