"""Retrieval of held-out patches: neighbours of other images, honest shares, paired differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icmbench.core.errors import DatasetError, MeasurementError
from icmbench.scenes import IGNORE, render_scene
from icmbench.studies import retrieval as ret


def naive_share(
    vectors: np.ndarray, classes: np.ndarray, image: np.ndarray, count: int, metric: str
) -> np.ndarray:
    """One patch, one distance at a time."""
    shares = []
    for query, vector in enumerate(vectors):
        others = [i for i in range(len(vectors)) if image[i] != image[query]]
        if metric == "euclidean":
            distance = [float(((vectors[i] - vector) ** 2).sum()) for i in others]
        else:
            lengths = [np.linalg.norm(vectors[i]) * np.linalg.norm(vector) for i in others]
            distance = [1 - vectors[i] @ vector / n for i, n in zip(others, lengths, strict=True)]
        nearest = [others[i] for i in np.argsort(distance)[:count]]
        shares.append(np.mean([classes[i] == classes[query] for i in nearest]))
    return np.array(shares)


@given(
    seed=st.integers(0, 10**6),
    dims=st.integers(1, 4),
    count=st.integers(1, 5),
    metric=st.sampled_from(["euclidean", "cosine"]),
)
def test_shares_are_those_of_the_definition(seed: int, dims: int, count: int, metric: str) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((24, dims)) + (0.1 if metric == "cosine" else 0)
    classes, image = rng.integers(3, size=24), np.sort(rng.integers(4, size=24)) * 5 + 2
    if metric == "cosine" and dims == 1:
        return  # distances of one dimension are all 0 or 2: ties
    if min((image != name).sum() for name in np.unique(image)) < count:
        return
    found = ret.same_class_share(vectors, classes, image, neighbours=count, metric=metric)
    np.testing.assert_allclose(found, naive_share(vectors, classes, image, count, metric))


def test_neighbours_of_the_same_image_do_not_count() -> None:
    """Each image has a place of its own, and a class: only other images can be asked."""
    image = np.repeat([0, 1, 2, 3], 6)
    vectors = np.stack([100.0 * image + np.arange(24) % 6, np.ones(24)], 1)
    share = ret.same_class_share(vectors, image, image, neighbours=3, metric="euclidean")
    assert (share == 0).all()
    pairs = image // 2  # images 0 and 1 lie next to each other and have one class
    share = ret.same_class_share(vectors, pairs, image, neighbours=3, metric="euclidean")
    assert share[[0, 5, 18, 23]].tolist() == [1, 1, 1, 1]


def test_cosine_ignores_length_and_euclidean_does_not() -> None:
    """Class by direction, image by length: the nearest by distance are short, of either class."""
    angles = np.tile([0.0, 1.5], 4)
    length = np.repeat([1.0, 5.0, 25.0, 125.0], 2)
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1) * length[:, None]
    classes, image = np.tile([0, 1], 4), np.repeat([0, 1, 2, 3], 2)
    cosine = ret.same_class_share(vectors, classes, image, neighbours=3, metric="cosine")
    assert (cosine == 1).all()
    euclidean = ret.same_class_share(vectors, classes, image, neighbours=3, metric="euclidean")
    assert (euclidean[:6] == 2 / 3).all()


def test_too_few_neighbours_are_refused() -> None:
    image = np.array([0, 0, 0, 1, 1])
    with pytest.raises(MeasurementError, match="2 patches of other images than image 0"):
        ret.same_class_share(np.eye(5), image, image, neighbours=3)


def test_chance() -> None:
    """What neighbours drawn at random have: the share among patches of other images."""
    classes, image = np.array([0, 0, 1, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 2])
    found = ret.chance_share(classes, image)
    np.testing.assert_allclose(found, [1 / 3, 1 / 3, 2 / 3, 2 / 4, 2 / 4, 2 / 5])
    rng = np.random.default_rng(0)
    classes, image = rng.choice(3, 3000, p=[0.6, 0.3, 0.1]), np.repeat(np.arange(30), 100)
    drawn = ret.same_class_share(rng.standard_normal((3000, 6)), classes, image)
    assert drawn.mean() == pytest.approx(ret.chance_share(classes, image).mean(), abs=0.02)


def test_every_image_weighs_the_same() -> None:
    """Not every patch: an image of 90 patches is one of three."""
    image = np.repeat([4, 7, 9], [90, 5, 5])
    shares = {"a": np.where(image == 4, 0.0, 1.0), "b": np.full(100, 0.5)}
    found = ret.compare(shares, image, reference="b")
    assert found["a"].share == pytest.approx(2 / 3)
    assert found["a"].gain == pytest.approx(2 / 3 - 0.5)
    assert found["b"].gain == found["b"].gain_low == found["b"].gain_high == 0


def test_differences_are_paired() -> None:
    """A small gain on every image is certain though the images differ far more than that."""
    rng = np.random.default_rng(1)
    image = np.repeat(np.arange(40), 10)
    level = rng.uniform(0.1, 0.8, 40)[image]
    gain = 0.05 + 0.01 * rng.standard_normal(400)
    found = ret.compare({"raw": level, "features": level + gain}, image, reference="raw")
    better = found["features"]
    assert better.low < found["raw"].high, "unpaired intervals overlap"
    assert 0.045 < better.gain_low < better.gain < better.gain_high < 0.055
    assert better.low < better.share < better.high
    again = ret.compare({"raw": level, "features": level + gain}, image, reference="raw")
    assert again == found


def test_the_interval_covers_the_truth() -> None:
    """Of 200 samples of 30 images, about 95 % of the intervals hold the true mean."""
    rng = np.random.default_rng(2)
    hit = 0
    for seed in range(200):
        values = np.repeat(rng.uniform(0, 1, 30), 4)
        found = ret.compare({"a": values}, np.repeat(np.arange(30), 4), reference="a", seed=seed)
        hit += found["a"].low <= 0.5 <= found["a"].high
    assert 176 <= hit <= 199


def test_an_unknown_reference_is_refused() -> None:
    with pytest.raises(MeasurementError, match="'raw': a"):
        ret.compare({"a": np.ones(3)}, np.arange(3), reference="raw")


def test_patch_means_and_deviations() -> None:
    """Of the cells of the patch: places are rows and columns, integers do not overflow."""
    rng = np.random.default_rng(3)
    values = rng.integers(-32767, 32767, (9, 14, 3)).astype(np.int16)
    top, left = np.array([0, 5, 2]), np.array([10, 3, 0])
    found = ret.patch_statistics(values, top, left, 4)
    assert found.shape == (3, 6)
    for row, y, x in zip(found, top, left, strict=True):
        cells = values[y : y + 4, x : x + 4].reshape(-1, 3).astype(np.float64)
        np.testing.assert_allclose(row, [*cells.mean(0), *cells.std(0)])
    np.testing.assert_allclose(ret.patch_means(values, top, left, 4), found[:, :3])


def test_majority() -> None:
    """More than half of the pixels, and not the pixels of no class."""
    assert ret.majority(np.array([[3, 3], [3, 1]], np.uint8)) == 3
    assert ret.majority(np.array([[3, 3], [1, 1]], np.uint8)) is None
    assert ret.majority(np.array([[IGNORE, IGNORE], [IGNORE, 1]], np.uint8)) is None
    assert ret.majority(np.array([[0]], np.uint8)) == 0


def test_scene_patches() -> None:
    """All patches of the scenes that have a majority, each once, with that class."""
    found = ret.scene_patches(3, "val", 2, 96, 32)
    scenes = [render_scene(3, "val", index, 96, 96) for index in range(2)]
    assert [np.array_equal(a, s.image) for a, s in zip(found.images, scenes, strict=True)] == [1, 1]
    places = {
        (index, y, x): scenes[index].semantic[y : y + 32, x : x + 32]
        for index in range(2)
        for y in (0, 32, 64)
        for x in (0, 32, 64)
    }
    expected = {key: ret.majority(part) for key, part in places.items()}
    named = zip(found.image, found.top, found.left, found.classes, strict=True)
    given = {(int(i), int(y), int(x)): int(c) for i, y, x, c in named}
    assert given == {key: name for key, name in expected.items() if name is not None}
    assert len(found.classes) == len(given) > 9
    other = ret.scene_patches(3, "train", 1, 96, 32)
    assert not np.array_equal(other.images[0], found.images[0])


@pytest.mark.parametrize("patch", [0, 20, 104])
def test_patches_off_the_grid_are_refused(patch: int) -> None:
    with pytest.raises(DatasetError, match="multiples of 8, up to 96"):
        ret.scene_patches(3, "val", 1, 96, patch)
