"""Guides that know classes: features of the image itself, kept in the labels, and a metric."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import make_picture
from hypothesis import given, settings
from hypothesis import strategies as st
from latents import photograph

from icmbench.classifier import efficientnet_lite
from icmbench.codecs.mpd.codec import Mpd
from icmbench.codecs.mpd.networks.class_features import DIMS, class_points, components
from icmbench.codecs.mpd.networks.perception import (
    SIDE,
    balanced,
    centre,
    channel_sensitivity,
    perceptual_metric,
)
from icmbench.codecs.mpd.palette.clustering import weighted
from icmbench.codecs.mpd.stream.coder import State
from icmbench.codecs.mpd.stream.encoder import encode_latent
from icmbench.core.errors import ModelError


def spread(points: np.ndarray) -> float:
    flat = points.reshape(-1, points.shape[2]).astype(np.float64)
    return float(flat.var(axis=0).sum())


def error_of(points: np.ndarray, state: State) -> float:
    """Mean squared distance of points (h, w, d) to their mean over the cells of their entry."""
    labels = state.labels.ravel().astype(np.int64)
    flat = points.reshape(labels.size, -1).astype(np.float64)
    means = np.stack([np.bincount(labels, column) for column in flat.T], axis=1)
    counts = np.maximum(np.bincount(labels), 1)[:, None]
    return float(((flat - (means / counts)[labels]) ** 2).mean())


@pytest.mark.parametrize(("height", "width"), [(96, 80), (97, 83), (8, 8)])
def test_class_features_have_the_variance_of_the_latent(height: int, width: int) -> None:
    image = make_picture(height, width)
    latent = photograph(-(-height // 8), -(-width // 8), 3)
    points = class_points(image, latent)
    assert points.shape == (*latent.shape[:2], sum(DIMS))
    assert spread(points) == pytest.approx(spread(latent), rel=1e-3)
    np.testing.assert_array_equal(points, class_points(image, latent))


def test_a_flat_image_or_latent_has_no_class_features() -> None:
    flat = np.full((64, 64, 3), 90, np.uint8)
    assert np.abs(class_points(make_picture(64, 64), np.zeros((8, 8, 4), np.int16))).max() == 0
    assert np.isfinite(class_points(flat, photograph(8, 8, 1))).all()
    assert np.abs(components(np.ones((9, 20)), 4, 1.0)).max() == 0


@given(st.integers(1, 30), st.integers(2, 12), st.integers(0, 99))
@settings(max_examples=25)
def test_components_have_the_variance_asked_for(rows: int, width: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(rows, width))
    found = components(values, 2, 5.0)
    assert found.shape == (rows, 2)
    if rows > 1:
        assert found.var(axis=0).sum() == pytest.approx(5.0)


@pytest.mark.parametrize("seed", range(4))
def test_labels_that_keep_the_features_lose_less_of_them(seed: int) -> None:
    latent, features = photograph(32, 40, seed), photograph(32, 40, seed + 50)
    given_features = {"features": weighted(features, 0.5), "rdo": 2.0}
    forgot = encode_latent(latent, **given_features)[1][-1]
    kept = encode_latent(latent, **given_features, keep_features=1.0)[1][-1]
    assert error_of(features, kept) < 0.97 * error_of(features, forgot)


@pytest.mark.parametrize("channel", range(4))
def test_a_channel_that_weighs_more_has_less_error(channel: int) -> None:
    latent = photograph(32, 40, 7)
    metric = balanced(np.where(np.arange(4) == channel, 8.0, 1.0), latent.var(axis=(0, 1)))
    plain = encode_latent(latent)[1][-1]
    heavy = encode_latent(latent, metric=metric)[1][-1]
    own = latent[:, :, channel : channel + 1]
    assert error_of(own, heavy) < error_of(own, plain)
    assert error_of(latent * np.sqrt(metric), heavy) < error_of(latent * np.sqrt(metric), plain)


def test_a_metric_of_ones_and_features_kept_at_0_change_nothing() -> None:
    latent = photograph(24, 32, 5)
    plain = encode_latent(latent, features=weighted(latent, 0.3), refine=2)[0]
    same = encode_latent(
        latent, features=weighted(latent, 0.3), refine=2, keep_features=0.0, metric=np.ones(4)
    )[0]
    assert same == plain


@given(st.lists(st.floats(0.01, 100), min_size=3, max_size=3))
def test_balanced_weights_keep_the_variance(weights: list[float]) -> None:
    variances = np.array([3.0, 1.0, 0.5])
    found = balanced(np.array(weights), variances)
    assert (found * variances).sum() == pytest.approx(variances.sum())
    np.testing.assert_allclose(found / found[0], np.array(weights) / weights[0])
    assert (balanced(np.array(weights), 0 * variances) == 1).all()


def test_the_perceptual_metric_weighs_detail_above_brightness() -> None:
    model = Mpd().model.autoencoder
    latent = model.latent(make_picture(128, 128))
    metric = perceptual_metric(model, latent)
    assert metric.shape == (model.carried,)
    assert (metric > 0).all()
    sensitive = channel_sensitivity(model, latent)
    # At equal squared error of the image, detail moves the maps more than brightness does.
    assert (sensitive[2:4] > sensitive[0]).all()
    np.testing.assert_array_equal(metric, perceptual_metric(model, latent))


def test_large_images_are_judged_by_their_centre() -> None:
    latent = np.arange(SIDE * (SIDE + 10), dtype=np.int16).reshape(SIDE + 10, SIDE, 1)
    np.testing.assert_array_equal(centre(latent), latent[5:-5])


def test_class_guides_change_the_palette_and_no_decoder() -> None:
    codec, image = Mpd(), make_picture(96, 80)
    plain = codec.encode(image)
    for keys in ({"guide": "lite"}, {"guide": "lite", "keep": 0.3}, {"distortion": "perception"}):
        stream = codec.encode(image, **keys)
        assert stream != plain
        assert codec.decode(codec.truncate(stream, state=2)).shape == image.shape
    # An entry of the model's palette is chosen by the metric, too.
    shared = codec.encode(image, palette="dataset", distortion="perception")
    assert codec.decode(shared).shape == image.shape
    assert codec.encode(image, alpha=0.0, guide="lite") == codec.encode(image, alpha=0.0)


def test_without_the_package_a_class_guide_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from icmbench.codecs.mpd.networks import class_features

    class_features.class_network.cache_clear()
    monkeypatch.setattr(efficientnet_lite, "lite0_lacks", lambda: "It is missing.")
    with pytest.raises(ModelError, match=r"It is missing\."):
        Mpd().encode(make_picture(64, 64), guide="lite")
    class_features.class_network.cache_clear()
