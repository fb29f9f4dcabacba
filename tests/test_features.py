"""Contrastive features: the loss of the paper, crops that see what the image sees, exact scale."""

from __future__ import annotations

import itertools
import json
import math
import resource
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_picture
from hypothesis import given
from hypothesis import strategies as st
from latents import photograph
from safetensors.numpy import load_file, save_file
from tiny_model import tiny_models

from icmbench.codecs.mpd.model_folder import AUTOENCODER, NAME, part_file
from icmbench.codecs.mpd.networks.features import (
    Features,
    FeatureSettings,
    build_features,
    load_features,
)
from icmbench.codecs.mpd.training.features import (
    Contrast,
    contrastive_loss,
    fit_projection,
    train_features,
)
from icmbench.codecs.mpd.training.places import (
    GROUP,
    SHIFT,
    Places,
    cut,
    draw_batch,
    make_clusters,
    make_places,
    pad,
)
from icmbench.core.errors import ConfigError, DatasetError, ModelError
from icmbench.core.files import sha256_bytes, sha256_file
from icmbench.models.latent import SCALE
from icmbench.models.tensors import read_metadata, rounded, save_network
from icmbench.training.data import TrainingData
from icmbench.training.loop import Schedule, Session

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = FeatureSettings(channels=(6, 5), embedding=8, levels=2, head=4, dims=3)
SCHEDULE = Schedule(steps=6, batch=8, learning_rate=1e-2, checkpoint_every=2)


@dataclass(frozen=True)
class Patches:
    size: int
    image: np.ndarray
    top: np.ndarray
    left: np.ndarray


@dataclass(frozen=True)
class Level:
    labels: np.ndarray


@dataclass(frozen=True)
class Labels:
    """Stands in for pseudo-labels."""

    patches: Patches
    levels: tuple[Level, ...]
    pool: str


def make_pool() -> TrainingData:
    images = tuple(make_picture(40 + 3 * seed, 56, seed) for seed in range(3))
    return TrainingData(
        images, sha256_bytes(b"".join(i.tobytes() for i in images)), (("pictures", 3),)
    )


def make_labels(count: int = 40, levels: int = 2, seed: int = 0) -> Labels:
    """Patches of 16 pixels of `make_pool`; level l has 3 + l clusters."""
    rng = np.random.default_rng(seed)
    patches = Patches(
        16, rng.integers(3, size=count), rng.integers(3, size=count) * 8,
        rng.integers(5, size=count) * 8,
    )  # fmt: skip
    drawn = tuple(Level(rng.integers(3 + n, size=count)) for n in range(levels))
    return Labels(patches, drawn, make_pool().digest)


def lively(settings: FeatureSettings, seed: int = 3) -> Any:
    """A network whose norms are not the identity, as a trained one's are not."""
    network = build_features(settings, seed)
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if "running" in name or name.endswith("bias"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.2)
    return network.eval().requires_grad_(False)


# The loss


def naive_loss(vectors: np.ndarray, labels: np.ndarray, tau: float) -> float:
    """Equation 2 of the paper, term by term."""
    terms = []
    everyone = range(len(vectors))
    for i in everyone:
        positives = [p for p in everyone if p != i and labels[p] == labels[i]]
        if not positives:
            continue
        below = sum(math.exp(vectors[i] @ vectors[a] / tau) for a in everyone if a != i)
        logs = [math.log(math.exp(vectors[i] @ vectors[p] / tau) / below) for p in positives]
        terms.append(-sum(logs) / len(positives))
    return sum(terms) / len(terms) if terms else 0.0


def unit(count: int, dims: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((count, dims))
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@given(
    count=st.integers(1, 12),
    dims=st.integers(1, 5),
    classes=st.integers(1, 6),
    tau=st.sampled_from([0.07, 0.1, 0.5, 2.0]),
    seed=st.integers(0, 10**6),
)
def test_loss_is_equation_2(count: int, dims: int, classes: int, tau: float, seed: int) -> None:
    """Anchors without a positive included, which only stand in the others' denominators."""
    vectors = unit(count, dims, seed)
    labels = np.random.default_rng(seed + 1).integers(classes, size=count)
    found = contrastive_loss(torch.from_numpy(vectors), torch.from_numpy(labels), tau)
    assert float(found) == pytest.approx(naive_loss(vectors, labels, tau), rel=1e-9, abs=1e-12)


def test_loss_of_exact_cases() -> None:
    same = torch.tensor([[1.0, 0.0]]).repeat(4, 1)
    one = torch.zeros(4, dtype=torch.int64)
    assert float(contrastive_loss(same, one, 0.1)) == pytest.approx(math.log(3))
    # Two classes on orthogonal axes: one positive at 1, two negatives at 0.
    axes = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    pairs = torch.tensor([7, 7, 2, 2])
    expected = -math.log(math.exp(2) / (math.exp(2) + 2))
    assert float(contrastive_loss(axes, pairs, 0.5)) == pytest.approx(expected)
    # A mean of logarithms (L_out), not the logarithm of a mean (L_in): positives at 1 and 0.
    three = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    near = -math.log(math.exp(1) / (math.exp(1) + 1))
    far = -math.log(1 / (math.exp(1) + 1))
    expected = (2 * (near + far) / 2 + math.log(2)) / 3
    assert float(contrastive_loss(three, one[:3], 1.0)) == pytest.approx(expected)


@pytest.mark.parametrize("labels", [[0], [0, 1, 2], [0, 0, 1]])
def test_gradients_are_finite_and_right(labels: list[int]) -> None:
    """No positive at all: a loss of 0 with gradients of 0, not nan; a low temperature too."""
    start = torch.from_numpy(unit(len(labels), 3, 1)).requires_grad_()
    loss = contrastive_loss(start, torch.tensor(labels), 0.01)
    loss.backward()
    assert torch.isfinite(start.grad).all()
    assert (loss.item() == 0) == (len(set(labels)) == len(labels))
    assert torch.autograd.gradcheck(
        lambda v: contrastive_loss(v, torch.tensor(labels), 0.5), (start.detach().requires_grad_(),)
    )


# The network


@pytest.mark.parametrize("inner", [(), (6,), (6, 5, 4)])
def test_receptive_field(inner: tuple[int, ...]) -> None:
    """A cell's embedding changes with the cells within the margin, and with no other one."""
    chosen = replace(TINY, channels=inner)
    network = lively(chosen)
    latent = torch.from_numpy(unit(1, 4 * 15 * 15, 2).reshape(1, 4, 15, 15).astype(np.float32)) * 9
    moved = latent.clone()
    moved[:, :, 7, 7] += 1
    changed = (network(latent) != network(moved)).any(1)[0]
    near = torch.zeros(15, 15, dtype=torch.bool)
    reach = slice(7 - chosen.margin, 8 + chosen.margin)
    near[reach, reach] = True
    assert chosen.margin == len(inner) + 1
    assert torch.equal(changed, near)


def test_a_patch_with_its_margin_sees_what_the_image_sees() -> None:
    """Also at the border, where the image is continued; in training's crops as in the whole."""
    network = lively(TINY)
    latents = [photograph(9, 11, 1), photograph(8, 13, 2)]
    whole = [Features(network, 1.0).embedding(latent) for latent in latents]
    place = np.array(list(itertools.product(range(2), range(0, 5), range(0, 7))))
    places = Places(4, *place.T, np.zeros((2, len(place)), np.int64))
    padded = [pad(latent, TINY.margin) for latent in latents]

    class Still:
        def integers(self, low: int, high: int) -> int:
            return 0

    crops = cut(padded, places, np.arange(len(place)), TINY.margin, Still())  # type: ignore[arg-type]
    found = network.cells(crops).permute(0, 2, 3, 1).numpy()
    for (image, top, left), values in zip(place, found, strict=True):
        expected = whole[image][top : top + 4, left : left + 4]
        np.testing.assert_allclose(values, expected, atol=2e-6)


def test_cut_moves_patches_by_a_cell_within_their_image() -> None:
    height, width, side = 7, 9, 4
    latent = np.zeros((height, width, 2), np.int16)
    latent[:] = np.stack(np.mgrid[:height, :width], 2) * SCALE // 8192
    place = np.array([[0, 0, 0], [0, 3, 5], [0, 1, 2]])
    places = Places(side, *place.T, np.zeros((1, 3), np.int64))
    rng = np.random.default_rng(0)
    seen: list[set[tuple[int, int]]] = [set(), set(), set()]
    for _ in range(200):
        crops = cut([pad(latent, 1)], places, np.arange(3), 1, rng) * SCALE
        assert crops.shape == (3, 2, side + 2, side + 2)
        for index, crop in enumerate(crops):
            corner = (int(crop[0, 1, 1]), int(crop[1, 1, 1]))
            inner = crop[:, 1:-1, 1:-1]
            assert (inner[0, :, 0] == corner[0] + torch.arange(side)).all()
            assert (inner[1, 0] == corner[1] + torch.arange(side)).all()
            seen[index].add(corner)
    assert SHIFT == 1
    assert seen[0] == set(itertools.product((0, 1), (0, 1)))
    assert seen[1] == set(itertools.product((2, 3), (4, 5)))
    assert seen[2] == set(itertools.product((0, 1, 2), (1, 2, 3)))


def test_same_seed_same_weights() -> None:
    before = torch.random.get_rng_state()
    one, again, other = (build_features(TINY, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["body.0.weight"], other["body.0.weight"])
    assert torch.equal(before, torch.random.get_rng_state())
    count = sum(p.numel() for p in build_features(FeatureSettings(), 1).parameters())
    assert count <= 100_000


# Points


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dims", [1, 3, 8])
def test_points_vary_as_much_as_the_latent(channels: int, dims: int, tmp_path: Path) -> None:
    """Summed over the coordinates and over the pool's cells: C times 8192 squared, from a file."""
    chosen = replace(TINY, latent=channels, dims=dims)
    network = lively(chosen)
    pool = [photograph(h, w, s)[:, :, :channels] for h, w, s in ((30, 40, 1), (25, 31, 2))]
    network.load_state_dict(rounded(network.state_dict()))
    about = fit_projection(network, pool)
    save_network(tmp_path / "f", network.state_dict(), {"network": chosen.values(), **about})
    features = load_features(tmp_path / "f", channels)
    points = [features.points(latent) for latent in pool]
    assert [p.shape for p in points] == [(30, 40, dims), (25, 31, dims)]
    assert {p.dtype for p in points} == {np.dtype(np.int16)}
    cells = np.concatenate([p.reshape(-1, dims) for p in points]).astype(np.float64)
    assert np.abs(cells).max() < 32767, "nothing is clipped over the pool"
    assert isinstance(about["variance"], float)
    wanted = channels * SCALE**2 * about["variance"]
    assert cells.var(0).sum() == pytest.approx(wanted, rel=2e-3)
    assert np.abs(cells.mean(0)).max() < 30
    # Principal components: uncorrelated, the largest first, no other directions hold more.
    share = np.linalg.eigvalsh(np.cov(_cells(features, pool).T, bias=True))[::-1]
    spread = np.atleast_2d(np.cov(cells.T, bias=True))
    np.testing.assert_allclose(
        np.diag(spread) / spread.trace(), share[:dims] / share[:dims].sum(), atol=2e-3
    )
    assert np.abs(spread - np.diag(np.diag(spread))).max() < 3e-3 * spread.trace()
    assert about["explained"] == pytest.approx(share[:dims] / share.sum(), abs=2e-3)


def _cells(features: Features, pool: list[np.ndarray]) -> np.ndarray:
    parts = [features.embedding(latent) for latent in pool]
    return np.concatenate([part.reshape(-1, part.shape[2]) for part in parts])


def test_embedding_has_unit_length() -> None:
    found = Features(lively(TINY), 1.0).embedding(photograph(9, 12, 1))
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=2), 1, atol=1e-5)


def test_a_scale_that_would_leave_16_bits_is_cut() -> None:
    """Many channels, few that differ: all the pool stays inside, and the file says how much less.

    Nearly all cells are alike, so the deviation is far below the largest distance.
    """
    latent = np.zeros((40, 40, 4), np.int16)
    latent[3:5, 3:5] = 30000
    network = lively(TINY)
    about = fit_projection(network, [latent])
    assert isinstance(about["scale"], float)
    points = Features(network, about["scale"]).points(latent).astype(np.float64)
    assert 32700 < np.abs(points).max() < 32767
    assert isinstance(about["variance"], float)
    assert 0 < about["variance"] < 0.9
    total = points.reshape(-1, 3).var(0).sum()
    assert total == pytest.approx(4 * SCALE**2 * about["variance"], rel=5e-3)


def test_points_out_of_range_are_clipped_not_wrapped() -> None:
    latent = photograph(12, 12, 1)
    network = lively(TINY)
    scale = fit_projection(network, [latent])["scale"]
    assert isinstance(scale, float)
    fine = Features(network, scale).points(latent).astype(np.float64)
    coarse = Features(network, scale * 50).points(latent)
    large = np.abs(fine) > 1000
    assert (coarse[large] == np.sign(fine[large]) * 32767).all()


def test_a_constant_embedding_is_refused() -> None:
    with pytest.raises(ModelError, match="embedding collapsed"):
        fit_projection(lively(TINY), [np.zeros((9, 9, 4), np.int16)])


@pytest.mark.parametrize("shape", [(1, 1), (1, 20), (3, 2)])
def test_any_size(shape: tuple[int, int]) -> None:
    assert Features(lively(TINY), 100.0).points(photograph(*shape, 1)).shape == (*shape, 3)


def test_twelve_megapixels_are_one_piece() -> None:
    """500 x 375 cells: a layer of 48 channels is 34 MiB, a few of them are held at a time."""
    network = build_features(FeatureSettings(), 1).eval().requires_grad_(False)
    latent = np.tile(photograph(50, 75, 1), (10, 5, 1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    points = Features(network, 5000.0).points(latent)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB
    assert points.shape == (500, 375, 8)
    assert grown < 300 * 1024
    # A part of it with its margin gives the same, to rounding.
    part = Features(network, 5000.0).points(latent[100:140, 200:240])
    inner = slice(FeatureSettings().margin, -FeatureSettings().margin)
    gap = points[100:140, 200:240].astype(int) - part
    assert np.abs(gap[inner, inner]).max() <= 1


# Files


def stored(tmp_path: Path) -> Path:
    path = tmp_path / "features.safetensors"
    save_network(path, lively(TINY).state_dict(), {"network": TINY.values(), "scale": 4000.0})
    return path


def rewrite(path: Path, tensors: dict[str, Any] | None = None, **about: Any) -> None:
    arrays = {**load_file(path), **(tensors or {})}
    metadata = {"network": TINY.values(), "scale": 4000.0, **about}
    metadata = {key: value for key, value in metadata.items() if value is not None}
    kept = {key: value for key, value in arrays.items() if value is not None}
    save_file(kept, path, {"icmbench": json.dumps(metadata)})


def test_a_file_comes_back(tmp_path: Path) -> None:
    path = stored(tmp_path)
    latent = photograph(10, 12, 4)
    features = load_features(path, 4)
    assert features.scale == 4000.0
    near = Features(lively(TINY), 4000.0).points(latent).astype(int)
    assert np.abs(features.points(latent) - near).max() < 30  # weights in half precision
    assert not any(p.requires_grad for p in features.network.parameters())
    assert not features.network.training


@pytest.mark.parametrize(
    ("tensors", "about", "text"),
    [
        ({"components": None}, {}, "'components' is missing"),
        (
            {"body.0.weight": np.zeros((6, 4, 5, 5), np.float16)},
            {},
            "'body.0.weight' has the shape",
        ),
        ({"extra": np.zeros(1, np.float16)}, {}, "'extra' is not one"),
        ({"mean": np.full(8, np.nan, np.float16)}, {}, "'mean' holds"),
        ({"mean": np.zeros(8, np.int16)}, {}, "'mean' is int16"),
        ({}, {"scale": None}, "scale"),
        ({}, {"scale": -1.0}, "scale"),
        ({}, {"scale": 10**400}, "metadata"),
        ({}, {"network": None}, "network"),
        ({}, {"network": [1]}, "metadata"),
        ({}, {"network": {**TINY.values(), "dims": 9}}, "dims"),
        ({}, {"network": {**TINY.values(), "channels": [6, 0]}}, "positive"),
        ({}, {"network": {**TINY.values(), "wide": 1}}, "wide"),
    ],
)
def test_a_wrong_file_is_named(
    tmp_path: Path, tensors: dict[str, Any], about: dict[str, Any], text: str
) -> None:
    path = stored(tmp_path)
    rewrite(path, tensors, **about)
    with pytest.raises(ModelError, match=text) as caught:
        load_features(path, 4)
    assert str(path) in str(caught.value)


def test_features_of_another_latent(tmp_path: Path) -> None:
    path = stored(tmp_path)
    with pytest.raises(ModelError, match="4 channels, the latent has 16"):
        load_features(path, 16)
    with pytest.raises(ModelError, match="no such file"):
        load_features(tmp_path / "none", 4)


# Batches


def test_every_level_has_positives_in_every_batch() -> None:
    """Also a level of many small clusters, whose patches random batches would never pair."""
    rng = np.random.default_rng(0)
    labels = np.stack([rng.permutation(600) // 2, rng.permutation(600) // 100])
    clusters = make_clusters(labels, 32)
    pairs = np.zeros(2)
    for seed in range(50):
        chosen = draw_batch(clusters, np.random.default_rng(seed), 32)
        assert len(set(chosen.tolist())) == len(chosen) == 32
        for level in range(2):
            _, counts = np.unique(labels[level, chosen], return_counts=True)
            assert counts.max() >= 2
            pairs[level] += (counts * (counts - 1) / 2).sum() / 50
    assert pairs[0] > 4  # random batches: 32 * 31 / 2 / 599 = 0.8


def test_clusters_are_drawn_alike() -> None:
    """A cluster of 500 is not drawn more often than one of 20."""
    labels = np.repeat([[0, 1, 2]], [500, 20, 20], axis=1)
    clusters = make_clusters(labels, GROUP)
    firsts = [
        labels[0, draw_batch(clusters, np.random.default_rng(seed), GROUP)[0]]
        for seed in range(300)
    ]
    assert min(np.bincount(firsts, minlength=3)) > 70


def test_patches_without_a_partner_are_left_out_and_too_few_are_refused() -> None:
    labels = np.array([[0, 0, 1, 2, 3], [0, 1, 1, 2, 3]])
    clusters = make_clusters(labels, 3)
    assert [[m.tolist() for m in level] for level in clusters] == [[[0, 1]], [[1, 2]]]
    found = draw_batch(clusters, np.random.default_rng(0), 3)
    assert sorted(found.tolist()) == [0, 1, 2]
    with pytest.raises(DatasetError, match=r"3 patches .* a batch is of 4"):
        make_clusters(labels, 4)
    with pytest.raises(DatasetError, match="0 patches"):
        make_clusters(np.arange(10)[None], 2)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"size": 12}, "grid of 8"),
        ({"top": np.array([0, 4])}, "grid of 8"),
        ({"image": np.array([0, 3])}, "beyond the 3 of"),
        ({"image": np.array([-1, 0])}, "beyond the 3 of"),
        ({"left": np.array([0, 48])}, "out of training image 1"),
        ({"top": np.array([-8, 0])}, "out of training image 0"),
    ],
)
def test_labels_of_another_pool(change: dict[str, Any], text: str) -> None:
    patches = Patches(16, np.array([0, 1]), np.array([0, 0]), np.array([0, 8]))
    good = Labels(patches, (Level(np.array([1, 1])),), make_pool().digest)
    assert make_places(good, make_pool()).left.tolist() == [0, 1]
    with pytest.raises(DatasetError, match=text):
        make_places(replace(good, patches=replace(patches, **change)), make_pool())
    with pytest.raises(DatasetError, match="made of training data other"):
        make_places(replace(good, pool="other"), make_pool())


# Training


def run(
    folder: Path, *, device: str = "cpu", **keys: Any
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    arguments: dict[str, Any] = {
        "labels": make_labels(), "start": None, "settings": TINY, "schedule": SCHEDULE,
    }  # fmt: skip
    arguments |= keys
    schedule, labels, start = (arguments.pop(key) for key in ("schedule", "labels", "start"))
    session = Session(folder / "checkpoint.pt", folder / "losses.csv", start, device)
    return train_features(tiny_models() / NAME, schedule, make_pool(), labels, session, **arguments)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A training that nothing interrupted: its folder, weights and metadata."""
    folder = tmp_path_factory.mktemp("features")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    state, about = run(folder)
    torch.set_num_threads(before)
    return folder, state, about


def test_training_gives_what_its_file_gives(whole: Any, tmp_path: Path) -> None:
    _, state, about = whole
    path = tmp_path / "f"
    save_network(path, state, about)
    features = load_features(path, 4)
    model = part_file(tiny_models() / NAME, "autoencoder")
    assert read_metadata(path)[AUTOENCODER] == sha256_file(model)
    assert equal(features.network.state_dict(), state)
    assert features.scale == about["scale"]


def test_a_resumed_training_is_the_same(whole: Any, tmp_path: Path) -> None:
    """And the checkpoint is really used: a changed one changes the result."""
    folder, state, about = whole
    kept = torch.load(folder / "checkpoint.pt", weights_only=True)
    (tmp_path / "fresh").mkdir()
    again, same = run(tmp_path / "fresh")
    assert equal(again, state)
    assert same == about
    kept["step"] = SCHEDULE.steps - 1
    torch.save(kept, tmp_path / "checkpoint.pt")
    assert not equal(run(tmp_path)[0], state)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": make_labels(seed=1)},
        {"contrast": Contrast(weights=(1.0, 3.0))},
        {"contrast": Contrast(temperature=0.2, weights=(1.0, 1.0))},
        {"settings": replace(TINY, dims=2)},
    ],
)
def test_a_checkpoint_of_something_else_is_not_used(
    whole: Any, tmp_path: Path, change: dict[str, Any]
) -> None:
    kept = (whole[0] / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(kept)
    (tmp_path / "fresh").mkdir()
    state, _ = run(tmp_path, **change)
    assert equal(state, run(tmp_path / "fresh", **change)[0])
    assert not equal(state, whole[1])


def test_weights_of_the_levels(whole: Any, tmp_path: Path) -> None:
    """Equal by default; a level of weight 0 leaves its head as it was (but for its decay)."""
    rows = np.genfromtxt(whole[0] / "losses.csv", delimiter=",", names=True)
    np.testing.assert_allclose(rows["loss"], (rows["level_0"] + rows["level_1"]) / 2, rtol=1e-4)
    run(tmp_path, contrast=Contrast(weights=(1.0, 0.0)))
    rows = np.genfromtxt(tmp_path / "losses.csv", delimiter=",", names=True)
    np.testing.assert_allclose(rows["loss"], rows["level_0"], rtol=1e-4)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    """Labels that the latent tells, here the picture; labels that it cannot tell stay hard."""
    labels = make_labels(60)
    told = Level(labels.patches.image)
    levels = (told, labels.levels[0])
    run(
        tmp_path,
        labels=replace(labels, levels=levels),
        schedule=replace(SCHEDULE, steps=60, batch=16),
        contrast=Contrast(0.2, (1.0, 1.0)),
    )
    rows = np.genfromtxt(tmp_path / "losses.csv", delimiter=",", names=True)
    assert rows["level_0"][-8:].mean() < 0.9 * rows["level_0"][:8].mean()
    assert rows["level_0"][-8:].mean() < 0.93 * rows["level_1"][-8:].mean()


def test_training_from_a_file(whole: Any, tmp_path: Path) -> None:
    """Its network is kept whatever `settings` say, heads and the norms' statistics too."""
    path = tmp_path / "start.safetensors"
    save_network(path, whole[1], whole[2])
    frozen = replace(SCHEDULE, steps=2, learning_rate=1e-12)
    state, about = run(tmp_path, start=path, schedule=frozen, settings=FeatureSettings())
    assert about["network"] == TINY.values()
    for name, tensor in state.items():
        if name not in ("mean", "components"):
            torch.testing.assert_close(tensor, whole[1][name], atol=1e-3, rtol=1e-3)
    with pytest.raises(ModelError, match=r"start.safetensors: .* 2 levels, .* 3"):
        run(tmp_path, start=path, labels=make_labels(levels=3))


def test_weights_for_other_levels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="5 weights, 2 levels"):
        run(tmp_path, contrast=Contrast())


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 0.0},
        {"temperature": math.nan},
        {"weights": (1.0, -1.0)},
        {"weights": (0.0, 0.0)},
        {"weights": (1.0, math.inf)},
    ],
)
def test_a_contrast_that_weighs_nothing_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        Contrast(**values)
