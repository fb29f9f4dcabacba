"""Tags: every set has one form of the fewest bits, and every other string is refused."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from icmbench.codecs.diff_icmh.tags import (
    MAX_TAGS,
    pack_tags,
    tag_rank_bits,
    unpack_tags,
)
from icmbench.core.errors import CodecError, CorruptStream

VOCABULARY = 4585  # RAM++
GOLDEN = ([0, 7, 4584, 2000, 41, 1999], "06b2416226aff3cd9a")


def test_every_set_of_a_small_vocabulary() -> None:
    """The ranks of the sets of one size are 0, 1, 2, ...: no bit could be spared."""
    for size in range(11):
        for count in range(size + 1):
            sets = list(combinations(range(size), count))
            packed = [pack_tags(each, size) for each in sets]
            assert [unpack_tags(data, size) for data in packed] == sets
            assert {data[0] for data in packed} == {count}
            ranks = sorted(int.from_bytes(data[1:], "big") for data in packed)
            assert ranks == list(range(len(sets)))
            bits = tag_rank_bits(count, size)
            assert bits == math.ceil(math.log2(len(sets)))
            assert {len(data) for data in packed} == {1 + math.ceil(bits / 8)}


def test_every_short_string_is_a_set_or_refused() -> None:
    """And a set has one form: what is read is written again as it was."""
    for size in (0, 1, 3, 10):
        legal = 0
        for data in (bytes([a, b]) for a in range(12) for b in range(256)):
            try:
                tags = unpack_tags(data, size)
            except CorruptStream:
                continue
            assert pack_tags(tags, size) == data
            legal += 1
        lengths = [tag_rank_bits(count, size) for count in range(size + 1)]
        assert legal == sum(math.comb(size, n) for n, bits in enumerate(lengths) if bits)


@given(tags=st.sets(st.integers(0, VOCABULARY - 1), max_size=MAX_TAGS))
@example(tags=set(range(MAX_TAGS)))
@example(tags=set(range(VOCABULARY - MAX_TAGS, VOCABULARY)))
def test_any_set_of_the_published_vocabulary(tags: set[int]) -> None:
    data = pack_tags(tags, VOCABULARY)
    assert unpack_tags(data, VOCABULARY) == tuple(sorted(tags))
    assert len(data) == 1 + math.ceil(tag_rank_bits(len(tags), VOCABULARY) / 8)


@given(data=st.binary(max_size=40), size=st.integers(0, 5000))
def test_garbage_is_a_set_or_refused(data: bytes, size: int) -> None:
    try:
        tags = unpack_tags(data, size)
    except CorruptStream:
        return
    assert pack_tags(tags, size) == data


def test_golden_bytes() -> None:
    tags, data = GOLDEN
    assert pack_tags(tags, VOCABULARY).hex() == data
    assert unpack_tags(bytes.fromhex(data), VOCABULARY) == tuple(sorted(tags))
    assert pack_tags([], VOCABULARY) == b"\0"
    assert unpack_tags(b"\0", VOCABULARY) == ()


@pytest.mark.parametrize("tags", [[3, -1], [VOCABULARY, 3], [5, 2, 5]])
def test_an_impossible_tag_is_named(tags: list[int]) -> None:
    wrong = tags[0] if tags[0] in (5, VOCABULARY) else tags[1]
    with pytest.raises(CodecError, match=f"tag {wrong} "):
        pack_tags(tags, VOCABULARY)


def test_too_many_tags_are_refused() -> None:
    with pytest.raises(CodecError, match="256 tags"):
        pack_tags(range(MAX_TAGS + 1), VOCABULARY)


def test_strings_that_name_no_set_are_refused() -> None:
    data = pack_tags([1, 2, 3], VOCABULARY)
    largest = math.comb(VOCABULARY, 3) - 1
    last = bytes([3]) + largest.to_bytes(len(data) - 1, "big")
    assert unpack_tags(last, VOCABULARY) == (VOCABULARY - 3, VOCABULARY - 2, VOCABULARY - 1)
    beyond = bytes([3]) + (largest + 1).to_bytes(len(data) - 1, "big")
    for bad in (b"", b"\0\0", data[:-1], data + b"\0", beyond):
        with pytest.raises(CorruptStream):
            unpack_tags(bad, VOCABULARY)
    with pytest.raises(CorruptStream, match="vocabulary of 2"):
        unpack_tags(b"\3", 2)


def test_fewer_bits_than_published() -> None:
    """13 to 19 % below 13 bits a tag for 8 to 12 tags with the byte that counts them; in whole
    bytes, as they are stored, 7 to 20 % below the published packing; and no header."""
    for count in range(8, 13):
        bits = 8 + tag_rank_bits(count, VOCABULARY)
        assert 0.13 <= 1 - bits / (13 * count) <= 0.195
        stored = 8 * len(pack_tags(range(count), VOCABULARY))
        assert stored == 8 * math.ceil(bits / 8)
        packing = 8 * math.ceil(13 * count / 8)
        assert 0.07 <= 1 - stored / packing <= 0.2
