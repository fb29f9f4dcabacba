"""Tags as bytes: a set of ids of a vocabulary, coded by its rank among all sets of its size.

::

    offset  bytes  field
    0       1      number of tags, n
    1       ..     rank, ceil(log2 C(V, n)) bits in whole bytes, big-endian

The rank of c_1 < c_2 < ... < c_n is C(c_1, 1) + C(c_2, 2) + ... + C(c_n, n), the combinatorial
number system (Knuth, TAOCP 4A, 7.2.1.3). No tags at all are one zero byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import comb
from typing import Final

from icmbench.core.errors import CodecError, CorruptStream

MAX_TAGS: Final = 255
AUTO: Final = "auto"  # in a codec string: the tags of the model's tagger
NONE: Final = "none"  # the empty set
JOIN: Final = "+"  # between names that are given
PUBLISHED_TAG_BITS: Final = 13  # of one id in the published format
PUBLISHED_HEADER_BYTES: Final = 12  # number of tags, bits of an id, number of bytes


def tag_rank_bits(count: int, vocabulary_size: int) -> int:
    """Bits of the rank of a set: ceil(log2 C(V, n)), the fewest that tell all of them apart."""
    return (comb(vocabulary_size, count) - 1).bit_length()


def published_tag_bits(count: int) -> int:
    """Bits that the published format takes: 13 a tag in whole bytes, behind 12 of header."""
    return 8 * (PUBLISHED_HEADER_BYTES + -(-PUBLISHED_TAG_BITS * count // 8))


def pack_tags(ids: Iterable[int], vocabulary_size: int) -> bytes:
    """The bytes of a set of tags; their order is not kept.

    Raises CodecError naming the id that is outside the vocabulary or comes twice, or the number
    of tags where there are more than MAX_TAGS.
    """
    chosen = sorted(int(tag) for tag in ids)
    for place, tag in enumerate(chosen):
        if not 0 <= tag < vocabulary_size:
            raise CodecError(f"tag {tag} is not in the vocabulary of {vocabulary_size}")
        if place and tag == chosen[place - 1]:
            raise CodecError(f"tag {tag} comes twice")
    if len(chosen) > MAX_TAGS:
        raise CodecError(f"{len(chosen)} tags, at most {MAX_TAGS} can be told")
    rank = sum(comb(tag, place) for place, tag in enumerate(chosen, start=1))
    return bytes([len(chosen)]) + rank.to_bytes(_rank_bytes(len(chosen), vocabulary_size), "big")


def unpack_tags(data: bytes, vocabulary_size: int) -> tuple[int, ...]:
    """The tags, ascending. Every set has one form, every other string is refused.

    Raises CorruptStream where there are more tags than the vocabulary has, or the bytes do not
    fit their number or name no set.
    """
    if not data:
        raise CorruptStream("the tags have no bytes")
    count = data[0]
    if count > vocabulary_size:
        raise CorruptStream(f"{count} tags of a vocabulary of {vocabulary_size}")
    expected = 1 + _rank_bytes(count, vocabulary_size)
    if len(data) != expected:
        raise CorruptStream(f"{count} tags in {len(data)} bytes, they take {expected}")
    rank = int.from_bytes(data[1:], "big")
    if rank >= comb(vocabulary_size, count):
        raise CorruptStream(f"the rank of {count} tags names no set")
    return _unrank(rank, count, vocabulary_size)


def _unrank(rank: int, count: int, vocabulary_size: int) -> tuple[int, ...]:
    """The set of this rank, highest id first found.

    One walk down the ids with C(id, left) at hand: its neighbours differ by a small factor, which
    is quicker than a binary search that computes each binomial anew.
    """
    chosen: list[int] = []
    tag, left = vocabulary_size, count
    ways = comb(tag, left)
    while left:
        # C(tag - 1, left): sets of `left` tags below `tag - 1`.
        below = ways * (tag - left) // tag
        tag -= 1
        if rank >= below:
            chosen.append(tag)
            rank -= below
            ways -= below  # C(tag, left - 1), by Pascal's rule
            left -= 1
        else:
            ways = below
    return tuple(reversed(chosen))


def _rank_bytes(count: int, vocabulary_size: int) -> int:
    return -(-tag_rank_bits(count, vocabulary_size) // 8)
