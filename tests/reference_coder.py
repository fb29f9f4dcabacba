"""Ideal code lengths of label maps by coders that know nothing of hierarchies: a yardstick.

Both are adaptive and causal; what they return is the information content of the map, without the
bytes that a real coder adds, so comparing real bytes with them flatters them.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True)
def two_neighbour_bits(labels: NDArray[np.int64], entries: int) -> float:
    """A plain coder: "as the left one?", "as the upper one?", else a symbol by its frequency.

    The two questions have counts of their own per situation (left and upper equal or not; what the
    question was answered one cell back); the symbol's frequency leaves out what was denied.
    """
    height, width = labels.shape
    same = np.ones((2, 8, 2)) * 0.5
    counts = np.ones(entries) * 0.5
    total = 0.0
    for y in range(height):
        for x in range(width):
            value = labels[y, x]
            west = labels[y, x - 1] if x else -1
            north = labels[y - 1, x] if y else -1
            corner = labels[y - 1, x - 1] if x and y else -1
            situation = (west == north) + 2 * (west == corner) + 4 * (north == corner)
            denied = [-1, -1]
            found = False
            for question, guess in enumerate((west, north)):
                if guess < 0 or (question == 1 and guess == west):
                    continue
                answer = 1 if value == guess else 0
                pair = same[question, situation]
                total -= math.log2(pair[answer] / (pair[0] + pair[1]))
                pair[answer] += 1
                if answer:
                    found = True
                    break
                denied[question] = guess
            if not found:
                rest = counts.sum()
                for guess in denied:
                    if guess >= 0:
                        rest -= counts[guess]
                if entries - (denied[0] >= 0) - (denied[1] >= 0) > 1:
                    total -= math.log2(counts[value] / rest)
            counts[value] += 1
    return total


@numba.njit(cache=True)
def direct_bits(labels: NDArray[np.int64], entries: int) -> float:
    """A strong direct coder: a mixture of what six contexts say of the symbol.

    The contexts are none, left, upper, left and upper, the four causal neighbours' votes, and the
    pair of left and upper-right; each keeps counts, escapes to the frequencies where it knows
    little, and earns its weight by how well it has predicted so far, faster forgetting included.
    """
    height, width = labels.shape
    models = 6
    size = 1 << 14
    counts = np.zeros((models, size, entries), np.float32)
    sums = np.zeros((models, size))
    # Weights by situation: which of the neighbours agree with each other.
    weights = np.ones((16, models)) / models
    chances = np.empty((models, entries))
    total = 0.0
    for y in range(height):
        for x in range(width):
            value = labels[y, x]
            west = labels[y, x - 1] if x else entries
            north = labels[y - 1, x] if y else entries
            corner = labels[y - 1, x - 1] if x and y else entries
            other = labels[y - 1, x + 1] if y and x + 1 < width else entries
            wide = entries + 1
            key = np.array(
                [0, west, north, (west * wide + north) % size, 0, (west * wide + other) % size]
            )
            order0 = (counts[0, 0] + 0.4) / (sums[0, 0] + 0.4 * entries)
            for m in range(models):
                if m == 4:
                    chances[m] = order0 * 0.2
                    share = 0.8
                    for guess, part in ((west, 0.35), (north, 0.35), (corner, 0.1), (other, 0.2)):
                        if guess < entries:
                            chances[m, guess] += share * part
                        else:
                            chances[m] += order0 * share * part
                elif m == 0:
                    chances[m] = order0
                else:
                    n = sums[m, key[m]]
                    chances[m] = (counts[m, key[m]] + 1.2 * order0) / (n + 1.2)
            situation = (west == north) + 2 * (west == corner)
            situation += 4 * (north == other) + 8 * (north == corner)
            mix = weights[situation]
            chance = 0.0
            for m in range(models):
                chance += mix[m] * chances[m, value]
            total -= math.log2(chance)
            for m in range(models):
                mix[m] = 0.98 * mix[m] * chances[m, value] / chance + 0.02 / models
            for m in range(models):
                counts[m, key[m], value] += 1
                sums[m, key[m]] += 1
    return total
