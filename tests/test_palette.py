"""The palette: a Ward hierarchy of the right size, Markov, deterministic, of linear cost."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from latents import STYLES, _make, latents, noise, photograph
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist

from icmbench.codecs.mpd.palette import hierarchy as pal

PRECISION = 8  # the palette tells cells apart in steps of 8 latent units


def flat(latent: np.ndarray) -> np.ndarray:
    return latent.reshape(-1, latent.shape[2])


def distinct(latent: np.ndarray) -> int:
    return len(np.unique(flat(latent) // PRECISION, axis=0))


def partition(labels: np.ndarray) -> np.ndarray:
    """Labels renamed by first occurrence: equal for equal partitions."""
    _, first, names = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[names]


def check_tree(left: np.ndarray, right: np.ndarray, heights: np.ndarray) -> None:
    """Every node but the root has one parent, which comes behind it; heights ascend."""
    leaves = len(left) + 1
    made = leaves + np.arange(leaves - 1)
    assert sorted([*left, *right]) == list(range(2 * leaves - 2))
    assert (left < made).all()
    assert (right < made).all()
    assert (np.diff(heights) >= 0).all()


@pytest.mark.parametrize("cells", [1, 2, 3, 4, 7, 8, 9, 100, 1023, 1024, 1025, 60000])
def test_entry_limits(cells: int) -> None:
    """K_0 = min(256, cells / 4), at least 1; K_t = ceil(K_0 / 2^t)."""
    first = max(1, min(256, cells // 4))
    assert pal.entry_limits(cells) == [int(np.ceil(first / 2**t)) for t in range(8)]


@given(latent=latents())
def test_sizes_and_markov(latent: np.ndarray) -> None:
    """K_t entries at state t, or as many as there are distinct cells; unions of finer ones."""
    cells = latent.shape[0] * latent.shape[1]
    limits = pal.entry_limits(cells)
    found = pal.build_hierarchy(flat(latent), limits[0])
    check_tree(found.left, found.right, found.heights)
    assert found.labels.shape == (cells,)
    before = None
    for limit in limits:
        names = found.entries(limit)
        cell_labels = names[found.labels]
        count = min(limit, distinct(latent))
        assert set(cell_labels) == set(range(count))
        if before is not None:
            # Markov: one entry of state t for every entry of state t - 1.
            pairs = set(zip(before.tolist(), cell_labels.tolist(), strict=True))
            assert len(pairs) == before.max() + 1
        before = cell_labels
    assert found.entries(10**6).tolist() == list(range(found.leaves))


@given(latent=latents(), seed=st.integers(0, 99))
def test_same_twice_and_in_any_order(latent: np.ndarray, seed: int) -> None:
    """Ties included: clustering starts from the sorted distinct cells, not from their places."""
    points = flat(latent)
    order = np.argsort(noise((len(points),), seed), kind="stable")
    limit = pal.leaf_limit(len(points))
    one, again = (pal.build_hierarchy(points, limit) for _ in range(2))
    other = pal.build_hierarchy(points[order], limit)
    for found in (again, other):
        assert found.left.tolist() == one.left.tolist()
        assert found.right.tolist() == one.right.tolist()
        assert found.heights.tolist() == one.heights.tolist()
    assert again.labels.tolist() == one.labels.tolist()
    assert other.labels.tolist() == one.labels[order].tolist()


def test_above_2048_distinct_cells() -> None:
    """The k-means leaves: still K_0 entries, whatever the order of the cells, and near to Ward."""
    latent = photograph(64, 64, seed=3)
    points = flat(latent)
    assert distinct(latent) > pal.COARSE_LEAVES
    order = np.argsort(noise((len(points),), 1), kind="stable")
    one, other = pal.build_hierarchy(points, 256), pal.build_hierarchy(points[order], 256)
    check_tree(one.left, one.right, one.heights)
    assert one.leaves == 256
    assert partition(one.labels[order]).tolist() == partition(other.labels).tolist()
    assert other.heights.tolist() == one.heights.tolist()

    def error(labels: np.ndarray) -> float:
        values = points.astype(np.float64)
        counts = np.bincount(labels)
        total = 0.0
        for column in values.T:
            means = np.bincount(labels, column) / counts
            total += ((column - means[labels]) ** 2).sum()
        return total

    # Gathering first costs little against Ward of all cells.
    reduced = (points >> 3).astype(np.int64)
    left, right, _ = pal.ward(reduced, np.ones(len(points), np.int64))
    group = np.arange(2 * len(points) - 1)
    for merge in range(len(left) - 1, -1, -1):
        if merge < len(points) - 256:
            group[[left[merge], right[merge]]] = group[len(points) + merge]
    exact = partition(group[: len(points)])
    assert error(one.labels) < 1.08 * error(exact)


@given(count=st.integers(2, 60), dims=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_ward_equals_scipy(count: int, dims: int, seed: int) -> None:
    """On equal weights: the same heights and the same partitions."""
    points = noise((count, dims), seed)
    left, right, heights = pal.ward(points, np.ones(count, np.int64))
    check_tree(left, right, heights)
    theirs = linkage(points.astype(np.float64), "ward")
    np.testing.assert_allclose(np.sqrt(2 * heights), theirs[:, 2], rtol=1e-9)
    gaps = pdist(points)
    if len(np.unique(gaps)) == len(gaps):  # no ties
        assert (np.sort(np.stack([left, right], 1)) == np.sort(theirs[:, :2])).all()


@given(count=st.integers(2, 30), dims=st.integers(1, 4), seed=st.integers(0, 10**6))
def test_weighted_ward_is_ward_of_repeated_points(count: int, dims: int, seed: int) -> None:
    """Repeats join first, at height 0; from there on the merges are those of weighted points."""
    points = noise((count, dims), seed)
    weights = noise((count,), seed + 1) % 5 + 1
    heights = pal.ward(points * weights[:, None], weights)[2]
    repeated = np.repeat(points, weights, axis=0)
    theirs = linkage(repeated.astype(np.float64), "ward")[:, 2]
    assert (theirs[: len(repeated) - count] == 0).all()
    np.testing.assert_allclose(np.sqrt(2 * heights), theirs[len(repeated) - count :], rtol=1e-9)


def _cross(dims: int, scale: int) -> np.ndarray:
    return np.concatenate([np.eye(dims, dtype=np.int64), -np.eye(dims, dtype=np.int64)]) * scale


@given(
    dims=st.integers(2, 5),
    scale=st.integers(1, 999),
    weight=st.integers(1, 7),
    seed=st.integers(0, 999),
)
@example(dims=5, scale=88, weight=4, seed=87)
def test_ties_give_a_tree(dims: int, scale: int, weight: int, seed: int) -> None:
    """Points at equal distances: heights that tie in truth and differ by rounding alone."""
    points = _cross(dims, scale)
    points = points[np.argsort(noise((len(points),), seed))]
    weights = np.full(len(points), weight)
    check_tree(*pal.ward(points * weight, weights))


def test_many_ties_give_a_tree(effort: int) -> None:
    """Crosses and simplices at many scales, from fixed orders: none breaks the tree."""
    broken = []
    for case in range(0, 3000, 10 // effort):
        dims = 2 + case % 4
        points = _cross(dims, 1 + case % 977)[: dims if case % 3 == 0 else None]
        points = points[np.argsort(noise((len(points),), case))]
        left, right, _ = pal.ward(points * (1 + case % 7), np.full(len(points), 1 + case % 7))
        if sorted([*left, *right]) != list(range(2 * len(points) - 2)):
            broken.append(case)
    assert not broken


def test_two_equal_pairs_tie_to_the_smaller_index() -> None:
    """0-1 and 2-3 are equally near; so are the two pairs in a square."""
    line = np.array([[0], [2], [100], [102]])
    left, right, heights = pal.ward(line, np.ones(4, np.int64))
    assert (left.tolist(), right.tolist()) == ([0, 2, 4], [1, 3, 5])
    assert heights.tolist() == [2.0, 2.0, 10000.0]
    square = np.array([[0, 0], [0, 2], [2, 0], [2, 2]])
    left, right, _ = pal.ward(square, np.ones(4, np.int64))
    assert [{*pair} for pair in zip(left[:2], right[:2], strict=True)] == [{0, 1}, {2, 3}]


def test_precision_of_the_palette() -> None:
    """Cells that differ by less than a step of 8 are one entry; the docstring's bound, exactly."""
    points = np.array([[0], [7], [8], [-1]] * 9, np.int16)
    assert pal.build_hierarchy(points, 9).leaves == 3


@pytest.mark.parametrize("style", STYLES)
def test_cost_does_not_grow_with_the_square_of_the_cells(style: str) -> None:
    """60,000 cells: a distance matrix would take 28 GB, even one byte a pair 3.6 GB."""
    if style == "photograph":
        latent = photograph(240, 250, seed=1)
    else:
        latent = _make(style, (240, 250), 4, 1)
    points = flat(latent)
    pal.build_hierarchy(points[:3000], 256)
    tracemalloc.start()
    found = pal.build_hierarchy(points, 256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.leaves == min(256, distinct(latent))
    assert peak < 200 * len(points) * points.shape[1]
