"""Pseudo-labels: patches, clusters, label maps and the file of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from icmbench.codecs.mpd.model_folder import ALL_TAPS, TAPS
from icmbench.codecs.mpd.training import clusters as clu
from icmbench.codecs.mpd.training import pseudo_labels as pse
from icmbench.core.errors import ConfigError, DatasetError, ModelError
from icmbench.models.tensors import load_arrays, save_arrays


def taps(pixels: torch.Tensor) -> list[torch.Tensor]:
    """A stand-in for a network: two taps, of strides 1 and 4."""
    rectified = torch.relu(pixels)
    return [
        torch.cat([rectified, torch.relu(-pixels)], 1),
        torch.nn.functional.avg_pool2d(rectified, 4),
    ]


def textured(height: int, width: int, seed: int) -> np.ndarray:
    """Noise on the left half, stripes on the right."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    stripes = np.where(np.arange(width - width // 2) // 2 % 2, 230, 20)
    image[:, width // 2 :] = stripes[:, None]
    image[:, width // 2 :] += rng.integers(0, 9, (height, width - width // 2, 1), np.uint8)
    return image


def blobs(seed: int, groups: int = 5, each: int = 40, length: int = 50) -> tuple[Any, Any]:
    """Descriptors in well separated groups, and the group of each."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 4, (groups, length))
    groups_of = rng.permutation(np.repeat(np.arange(groups), each))
    points = centres[groups_of] + rng.normal(0, 0.3, (groups_of.size, length))
    return points.astype(np.float32), groups_of


def fitted(seed: int = 0) -> tuple[np.ndarray, clu.Level]:
    points, _ = blobs(seed)
    return points, clu.fit_level(points, (1, 2, 5, 9), 5, seed=3)


@given(
    shapes=st.lists(st.tuples(st.integers(8, 90), st.integers(8, 90)), min_size=1, max_size=6),
    size=st.sampled_from([8, 16, 32]),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_patches_are_different_even_and_inside(
    shapes: list[tuple[int, int]], size: int, share: float, seed: int
) -> None:
    images = [np.zeros((*shape, 3), np.uint8) for shape in shapes]
    places = [
        len(range(0, height - size + 1, 8)) * len(range(0, width - size + 1, 8))
        for height, width in shapes
    ]
    count = int(share * sum(places))
    found = pse.draw_patches(images, count, size, seed)
    rows = list(zip(found.image.tolist(), found.top.tolist(), found.left.tolist(), strict=True))
    assert len(found) == count == len(set(rows))
    assert rows == sorted(rows)
    for image, top, left in rows:
        assert top % 8 == left % 8 == 0
        assert 0 <= top <= shapes[image][0] - size
        assert 0 <= left <= shapes[image][1] - size
    # An image has fewer than another by more than one only where it has no further place.
    used = np.bincount(found.image, minlength=len(images))
    for mine, limit in zip(used, places, strict=True):
        assert mine == limit or mine >= used.max() - 1
    again = pse.draw_patches(images, count, size, seed)
    assert again.top.tolist() == found.top.tolist()
    assert again.left.tolist() == found.left.tolist()
    with pytest.raises(DatasetError, match=f"{sum(places)} places"):
        pse.draw_patches(images, sum(places) + 1, size, seed)


def test_every_place_is_drawn_alike_and_the_seed_counts() -> None:
    """1,000 draws of 5 of 25 places: each place 200 times, give or take 5 deviations."""
    images = [np.zeros((48, 48, 3), np.uint8)]
    counts = np.zeros((5, 5), int)
    for seed in range(1000):
        found = pse.draw_patches(images, 5, 16, seed)
        counts[found.top // 8, found.left // 8] += 1
    assert counts.sum() == 5000
    assert np.abs(counts - 200).max() < 5 * np.sqrt(200 * 0.8)


def test_cut_gives_the_pixels() -> None:
    images = [textured(40, 56, 0), textured(64, 32, 1)]
    patches = pse.draw_patches(images, 20, 16, 4)
    pixels = patches.cut(images)
    for index in range(20):
        top, left = patches.top[index], patches.left[index]
        wanted = images[patches.image[index]][top : top + 16, left : left + 16]
        assert (pixels[index] == wanted).all()
    assert (patches.cut(images, np.array([7, 3])) == pixels[[7, 3]]).all()


@pytest.mark.parametrize("kind", ["fft", "mean"])
def test_descriptors_of_patches_in_batches_are_those_of_each_alone(kind: str) -> None:
    images = [textured(64, 96, seed) for seed in range(3)]
    patches = pse.draw_patches(images, pse.BATCH + 3, 16, 0)
    found = pse.patch_descriptors(taps, images, patches, kind)
    assert [part.dtype for part in found] == [np.float32, np.float32]
    lengths = {"fft": [6 * 12, 3 * 6], "mean": [12, 6]}[kind]
    assert [part.shape for part in found] == [(len(patches), length) for length in lengths]
    for index in (0, pse.BATCH - 1, pse.BATCH, pse.BATCH + 2):
        pixels = torch.from_numpy(patches.cut(images, np.array([index])) / 127.5 - 1).float()
        for part, tap in zip(found, taps(pixels.permute(0, 3, 1, 2)), strict=True):
            wanted = pse.descriptor(tap, kind)[0].numpy()
            np.testing.assert_allclose(part[index], wanted, rtol=1e-5, atol=1e-6)


def test_a_tap_that_is_not_finite_is_named() -> None:
    images = [textured(32, 32, 0)]
    patches = pse.draw_patches(images, 2, 16, 0)
    with pytest.raises(ModelError, match="tap 1 of the network"):
        pse.patch_descriptors(lambda x: [x, torch.full_like(x, torch.nan)], images, patches, "fft")
    with pytest.raises(DatasetError, match="no patches"):
        pse.patch_descriptors(taps, images, pse.draw_patches(images, 0, 16, 0), "fft")


def test_clusters_of_separate_groups_are_the_groups() -> None:
    """And the shares of inertia and variance are those of the definition."""
    points, groups = blobs(1)
    level = clu.fit_level(points, (1, 2, 5, 9), 5, seed=0)
    assert adjusted_rand_score(level.labels, groups) == 1
    assert level.labels.tolist() == level.assign(points).tolist()
    assert level.components.shape == (32, 50)
    exact = points.astype(np.float64)
    spread = ((exact - exact.mean(0)) ** 2).sum()
    projected = (exact - exact.mean(0)) @ level.components.T.astype(np.float64)
    total = (projected**2).sum()
    assert level.kept == pytest.approx(total / spread, rel=1e-5)
    within = sum(
        ((projected[groups == g] - projected[groups == g].mean(0)) ** 2).sum() for g in range(5)
    )
    assert level.inertia[0] == pytest.approx(1)
    assert level.inertia[2] == pytest.approx(within / total, rel=1e-4)
    assert (np.diff(level.inertia) < 0).all()
    np.testing.assert_allclose(level.explained, 1 - level.inertia)
    # New patches near a group go to it, one at a time or together.
    near = points + np.float32(0.01)
    assert adjusted_rand_score(level.assign(near), groups) == 1
    assert [int(level.assign(row[None])[0]) for row in near[:9]] == level.assign(near[:9]).tolist()


def test_clusters_are_named_in_order_and_axes_have_signs() -> None:
    points, level = fitted()
    assert (np.diff(level.centres[:, 0]) > 0).all()
    rows = np.arange(len(level.components))
    largest = np.abs(level.components).argmax(1)
    assert (level.components[rows, largest] > 0).all()
    gram = level.components @ level.components.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-5)
    # A dimension more than rows or columns allow is not asked for.
    assert clu.fit_level(points[:, :7], (2,), 2, 0).components.shape == (7, 7)
    assert clu.fit_level(points[:9], (2,), 2, 0).components.shape[0] <= 9


def test_long_descriptors_same_twice() -> None:
    """Of 1,200 values: scikit-learn's randomised solver, which the seed fixes."""
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(300, 40)) @ rng.normal(size=(40, 1200))).astype(np.float32)
    one, again = (clu.fit_level(points, (3, 8), 8, 5) for _ in range(2))
    for name in ("components", "centres", "labels", "inertia", "mean"):
        assert getattr(one, name).tobytes() == getattr(again, name).tobytes()


@pytest.mark.parametrize(
    ("counts", "chosen"), [((2, 4), 3), ((4, 2), 2), ((2, 2), 2), ((0, 2), 2), ((), 2)]
)
def test_counts_that_are_refused(counts: tuple[int, ...], chosen: int) -> None:
    with pytest.raises(ConfigError, match="cluster counts"):
        clu.fit_level(blobs(0)[0], counts, chosen, 0)


def test_too_few_different_descriptors() -> None:
    points = np.repeat(blobs(0)[0][:3], 50, axis=0)
    assert clu.fit_level(points, (3,), 3, 0).inertia[0] == pytest.approx(0, abs=1e-9)
    with pytest.raises(DatasetError, match="3 different descriptors cannot make 4"):
        clu.fit_level(points, (2, 4), 2, 0)
    with pytest.raises(DatasetError, match="1 different"):
        clu.fit_level(points[:50], (1,), 1, 0)
    with pytest.raises(ModelError, match="7, the level's 50"):
        fitted()[1].assign(points[:, :7])


def test_stability_tells_clusters_from_noise() -> None:
    points, _ = blobs(2)
    assert clu.stability(points, 5, (0, 1)) == 1
    formless = np.random.default_rng(0).normal(size=(200, 10)).astype(np.float32)
    assert clu.stability(formless, 12, (0, 1)) < 0.7
    assert clu.stability(formless, 12, (4, 4)) == 1


def test_typical_patches_are_the_nearest_and_few_of_an_image() -> None:
    points, level = fitted()
    images = np.arange(len(points)) % 7
    distance = ((level.project(points) - level.centres[level.labels]) ** 2).sum(1)
    for cluster in range(5):
        members = np.flatnonzero(level.labels == cluster)
        order = members[np.argsort(distance[members])].tolist()
        free = clu.typical(points, level, cluster, 10, images, per_image=99)
        assert free.tolist() == order[:10]
        few = clu.typical(points, level, cluster, 10, images, per_image=1).tolist()
        # The nearest of each image, nearest first.
        firsts = {}
        for index in order:
            firsts.setdefault(images[index], index)
        assert few == list(firsts.values())
        assert len(few) == 7


def test_label_map_tells_noise_from_stripes() -> None:
    """Each label is that of the patch at its place, and the two textures fall apart."""
    images = [textured(64, 112, seed) for seed in range(4)]
    patches = pse.draw_patches(images, 150, 16, 0)
    found = pse.patch_descriptors(taps, images, patches, "fft")
    levels = [clu.fit_level(part, (2, 3), 2, 0) for part in found]
    image = textured(77, 130, 9)
    maps = pse.label_maps(taps, image, levels, 16, 8, "fft")
    for level, (labels, tap) in zip(levels, zip(maps, (0, 1), strict=True), strict=True):
        assert labels.shape == (8, 15)
        assert labels.dtype == np.int64
        for row, column in [(0, 0), (7, 14), (3, 5), (2, 11)]:
            one = pse.Patches(16, *(np.array([v]) for v in (0, row * 8, column * 8)))
            alone = pse.patch_descriptors(taps, [image], one, "fft")[tap]
            assert labels[row, column] == level.assign(alone)[0]
    left, right = maps[0][:, :6], maps[0][:, 9:]
    assert len(set(left.ravel().tolist())) == len(set(right.ravel().tolist())) == 1
    assert left[0, 0] != right[0, 0]
    assert pse.label_maps(taps, image, levels, 16, 20, "fft")[0].shape == (4, 6)
    with pytest.raises(DatasetError, match="130 x 77 pixels has no patch of 80"):
        pse.label_maps(taps, image, levels, 80, 8, "fft")
    with pytest.raises(ConfigError, match="stride of 0"):
        pse.label_maps(taps, image, levels, 16, 0, "fft")


def test_concatenated_descriptors_are_one_level_of_all_taps() -> None:
    """Of every patch the descriptors of the taps side by side; a map has one label per place."""
    images = [textured(64, 112, seed) for seed in range(4)]
    patches = pse.draw_patches(images, 60, 16, 0)
    apart = pse.patch_descriptors(taps, images, patches, "fft")
    (joined,) = pse.patch_descriptors(taps, images, patches, "fft", joined=True)
    assert np.array_equal(joined, np.concatenate(apart, axis=1))
    level = clu.fit_level(joined, (2, 3), 3, 0)
    (labels,) = pse.label_maps(taps, images[0], [level], 16, 8, "fft")
    one = pse.Patches(16, *(np.array([v]) for v in (0, 24, 40)))
    alone = pse.patch_descriptors(taps, images[:1], one, "fft", joined=True)[0]
    assert labels[3, 5] == level.assign(alone)[0]
    assert labelled().names == TAPS
    assert replace(labelled(), levels=labelled().levels[:1]).names == (ALL_TAPS,)


def labelled() -> pse.PseudoLabels:
    levels = (fitted(0)[1], fitted(1)[1])
    n = len(levels[0].labels)
    places = np.arange(n, dtype=np.int64)
    patches = pse.Patches(64, places // 4, places % 3 * 8, places % 5 * 8)
    return pse.PseudoLabels(patches, "fft", levels, "abc", "def", {"channels": [1, 2]})


def test_file_gives_everything_back(tmp_path: Path) -> None:
    made = labelled()
    made.save(tmp_path / "labels.safetensors")
    made.save(tmp_path / "again.safetensors")
    first = (tmp_path / "labels.safetensors").read_bytes()
    assert first == (tmp_path / "again.safetensors").read_bytes()
    found = pse.PseudoLabels.load(tmp_path / "labels.safetensors")
    assert (found.kind, found.pool, found.weights) == ("fft", "abc", "def")
    assert found.network == {"channels": [1, 2]}
    assert found.patches.size == 64
    for name in ("image", "top", "left"):
        assert (getattr(found.patches, name) == getattr(made.patches, name)).all()
    assert len(found.levels) == 2
    for mine, theirs in zip(made.levels, found.levels, strict=True):
        assert (theirs.counts, theirs.kept) == (mine.counts, mine.kept)
        for name in ("inertia", "mean", "components", "centres", "labels"):
            one, other = getattr(mine, name), getattr(theirs, name)
            assert one.dtype == other.dtype
            assert one.tobytes() == other.tobytes()
        points = blobs(5)[0]
        assert theirs.assign(points).tolist() == mine.assign(points).tolist()


def _set(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict, dict], None]:
    def spoil(arrays: dict, metadata: dict) -> None:
        arrays[name] = change(arrays[name])

    return spoil


def _value(name: str, value: object) -> Callable[[dict, dict], None]:
    return lambda arrays, metadata: metadata.update({name: value})


def _raised(by: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda array: array + by


FAULTS: list[tuple[str, Callable[[dict, dict], Any]]] = [
    ("'level1.mean' is missing", lambda arrays, metadata: arrays.pop("level1.mean")),
    ("'top' is missing", lambda arrays, metadata: arrays.pop("top")),
    ("'more' is not one", lambda arrays, metadata: arrays.update(more=np.zeros(1))),
    ("'level1.* is not one", _value("kept", [0.5])),
    ("'level2.counts' is missing", _value("kept", [0.5] * 3)),
    ("metadata is incomplete: 'pool'", lambda arrays, metadata: metadata.pop("pool")),
    ("metadata is incomplete", _value("size", "large")),
    ("patches are of 60", _value("size", 60)),
    ("kind of its descriptors is 'dct'", _value("kind", "dct")),
    ("'left' holds 4, out", _set("left", lambda a: np.where(a == 0, 4, a))),
    ("'image' holds -1, out", _set("image", _raised(-1))),
    ("'left' has the shape .199,", _set("left", lambda a: a[1:])),
    ("'top' is int32", _set("top", lambda a: a.astype(np.int32))),
    ("'level0.labels' holds 5, out", _set("level0.labels", _raised(1))),
    ("'level0.labels' has the shape", _set("level0.labels", lambda a: a[1:])),
    ("'level0.mean' is float64", _set("level0.mean", lambda a: a.astype(np.float64))),
    ("'level0.components' has the shape", _set("level0.components", lambda a: a[:, 1:])),
    ("'level0.centres' has the shape", _set("level0.centres", lambda a: a[:, 1:])),
    ("'level0.centres' has the shape", _set("level0.centres", lambda a: a[0])),
    ("'level0.centres' is of a count", _set("level0.centres", lambda a: a[1:])),
    ("'level0.inertia' has the shape", _set("level0.inertia", lambda a: a[1:])),
    ("'level0.inertia' holds a value that", _set("level0.inertia", lambda a: a * np.nan)),
]


@pytest.mark.parametrize(("reason", "spoil"), FAULTS)
def test_spoilt_file_is_refused(
    tmp_path: Path, reason: str, spoil: Callable[[dict, dict], Any]
) -> None:
    path = tmp_path / "labels.safetensors"
    labelled().save(path)
    arrays, metadata = load_arrays(path)
    spoil(arrays, metadata)
    if "holds a value that" in reason:  # refused on writing already
        with pytest.raises(ModelError, match=reason):
            save_arrays(path, arrays, metadata)
        return
    save_arrays(path, arrays, metadata)
    with pytest.raises(ModelError, match=f"labels.safetensors: .*{reason}"):
        pse.PseudoLabels.load(path)


def test_no_file_and_half_a_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        pse.PseudoLabels.load(tmp_path / "none.safetensors")
    path = tmp_path / "labels.safetensors"
    labelled().save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="damaged"):
        pse.PseudoLabels.load(path)
    made = labelled()
    broken = replace(made.levels[0], mean=made.levels[0].mean * np.float32(np.inf))
    with pytest.raises(ModelError, match="not finite"):
        replace(made, levels=(broken,)).save(path)
