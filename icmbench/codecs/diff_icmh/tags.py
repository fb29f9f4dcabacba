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
AUTO: Final = "auto"  # in a codec spec: the tags of the model's tagger
NONE: Final = "none"  # the empty set
JOIN: Final = "+"  # between names that are given


def tag_rank_bits(count: int, vocabulary_size: int) -> int:
    """Count the bits of a set's rank: ceil(log2 C(V, n)), the minimum for sets of n tags."""
    return (comb(vocabulary_size, count) - 1).bit_length()


def pack_tags(ids: Iterable[int], vocabulary_size: int) -> bytes:
    """Pack a set of tags; their order is not kept.

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
        raise CodecError(f"{len(chosen)} tags, at most {MAX_TAGS}")
    rank = sum(comb(tag, place) for place, tag in enumerate(chosen, start=1))
    return bytes([len(chosen)]) + rank.to_bytes(_rank_bytes(len(chosen), vocabulary_size), "big")


def unpack_tags(data: bytes, vocabulary_size: int) -> tuple[int, ...]:
    """Unpack the tags, ascending. Every set has one form, all other bytes are refused.

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
    """Find the set of a rank, highest id first.

    One pass down the ids updates C(id, left) by small factors, which is faster than a binary search
    that computes every binomial anew.
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
