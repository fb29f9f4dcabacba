"""Edit distance of two sequences (Levenshtein 1966), of characters or of words, and its alignment.

A row has the costs of one prefix of the first sequence and every prefix of the second; only an
alignment needs all rows. Lines of text are short: no package is needed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any


def edit_distance(reference: Sequence[Any], read: Sequence[Any]) -> int:
    """Smallest number of substitutions, deletions and insertions that turn one into the other."""
    return 0 if reference == read else _cost(reference, read, substitution=1)


def common_length(reference: Sequence[Any], read: Sequence[Any]) -> int:
    """Length of the longest common subsequence."""
    # Without substitutions, all elements but the common ones are deleted or inserted.
    moved = _cost(reference, read, substitution=2)
    return (len(reference) + len(read) - moved) // 2


def align(reference: Sequence[Any], read: Sequence[Any]) -> list[tuple[int | None, int | None]]:
    """Pairs of indices of an alignment with the smallest edit distance, in order.

    None stands for a missing partner: (3, None) is a deletion, (None, 3) an insertion. Of several
    alignments it is the one that pairs, then deletes, as late as possible.
    """
    costs = list(_rows(reference, read, substitution=1))
    row, column = len(reference), len(read)
    pairs: list[tuple[int | None, int | None]] = []
    while row or column:
        here = costs[row][column]
        if row and column:
            differs = reference[row - 1] != read[column - 1]
            if here == costs[row - 1][column - 1] + differs:
                row, column = row - 1, column - 1
                pairs.append((row, column))
                continue
        if row and here == costs[row - 1][column] + 1:
            row -= 1
            pairs.append((row, None))
        else:
            column -= 1
            pairs.append((None, column))
    return pairs[::-1]


def _cost(reference: Sequence[Any], read: Sequence[Any], substitution: int) -> int:
    """Cost of turning one sequence into the other, in memory of one row."""
    (last,) = deque(_rows(reference, read, substitution), maxlen=1)
    return last[-1]


def _rows(reference: Sequence[Any], read: Sequence[Any], substitution: int) -> Iterator[list[int]]:
    """Costs of turning the first i elements into the first j: row i, column j."""
    row = list(range(len(read) + 1))
    yield row
    for i, wanted in enumerate(reference, start=1):
        above, row = row, [i]
        for j, found in enumerate(read, start=1):
            pair = above[j - 1] + (0 if wanted == found else substitution)
            row.append(min(pair, above[j] + 1, row[-1] + 1))
        yield row
