"""Edit distance of two sequences (Levenshtein 1966), of characters or of words, and its alignment.

A table has the cost of every pair of prefixes. Lines of text are short: no package is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

Table: TypeAlias = list[list[int]]


def edit_distance(reference: Sequence[Any], read: Sequence[Any]) -> int:
    """Smallest number of substitutions, deletions and insertions that turn one into the other."""
    return 0 if reference == read else _costs(reference, read, substitution=1)[-1][-1]


def common_length(reference: Sequence[Any], read: Sequence[Any]) -> int:
    """Length of the longest common subsequence."""
    # Without substitutions, all elements but the common ones are deleted or inserted.
    moved = _costs(reference, read, substitution=2)[-1][-1]
    return (len(reference) + len(read) - moved) // 2


def align(reference: Sequence[Any], read: Sequence[Any]) -> list[tuple[int | None, int | None]]:
    """Pairs of indices of an alignment with the smallest edit distance, in order.

    None stands for a missing partner: (3, None) is a deletion, (None, 3) an insertion. Of several
    alignments it is the one that pairs, then deletes, as late as possible.
    """
    costs = _costs(reference, read, substitution=1)
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


def _costs(reference: Sequence[Any], read: Sequence[Any], substitution: int) -> Table:
    """Cost of turning the first i elements into the first j: table[i][j]."""
    costs = [list(range(len(read) + 1))]
    for i, wanted in enumerate(reference, start=1):
        above, row = costs[-1], [i]
        for j, found in enumerate(read, start=1):
            pair = above[j - 1] + (0 if wanted == found else substitution)
            row.append(min(pair, above[j] + 1, row[-1] + 1))
        costs.append(row)
    return costs
