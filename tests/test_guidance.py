"""What guides the clustering: the blurred latent, its weight, and that decoders need not know."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from conftest import make_picture
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from latents import photograph
from scipy.ndimage import correlate1d
from tiny_model import tiny_models

from icmbench.codecs.mpd.codec import Mpd
from icmbench.codecs.mpd.palette.clustering import ALPHA, BLUR, blurred, default_features, weighted
from icmbench.codecs.mpd.stream.encoder import encode_latent
from icmbench.core.errors import ModelError

LATENTS = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.int16, shape, elements=st.integers(-32767, 32767))
)


@given(LATENTS)
def test_blurring_is_the_binomial_mean(latent: np.ndarray) -> None:
    values = latent.astype(np.float64)
    for axis in (0, 1):
        values = correlate1d(values, np.array([1, 4, 6, 4, 1]) / 16, axis=axis, mode="nearest")
    assert blurred(latent).dtype == np.int16
    np.testing.assert_array_equal(blurred(latent), np.floor(values + 0.5))


def test_blurring_commutes_with_flips_and_turns() -> None:
    latent = photograph(11, 7, 3)
    for turn in (np.flipud, np.fliplr, lambda part: part.swapaxes(0, 1)):
        np.testing.assert_array_equal(blurred(turn(latent)), turn(blurred(latent)))


def test_weight_multiplies_squared_distances() -> None:
    points = np.array([[[0], [1000]]], np.int16)
    gap = np.diff(weighted(points, 0.25).astype(float).ravel())[0]
    assert gap**2 == pytest.approx(0.25 * 1000**2)
    assert np.abs(weighted(np.full((1, 1, 1), -32767, np.int16), 16.0)).max() == 32767


def test_a_guide_changes_the_tree_and_sends_means_of_the_latent_alone() -> None:
    latent = photograph(24, 32, 5)
    guide = weighted(blurred(latent), 2.0)
    plain, _ = encode_latent(latent, rdo=0)
    guided, states = encode_latent(latent, rdo=0, features=guide)
    assert guided != plain
    finest = states[-1]
    assert finest.palette.shape[1] == latent.shape[2]
    errors = {}
    for name, source in (("latent", latent), ("guide", guide)):
        means = [source[finest.labels == e].mean(0) for e in range(len(finest.palette))]
        errors[name] = float(np.sqrt(np.mean((finest.palette - np.stack(means)) ** 2)))
    # What is left of the first is the rounding of the offsets.
    assert 3 * errors["latent"] < errors["guide"], errors


def test_weight_zero_is_the_plain_palette_whatever_the_guide() -> None:
    codec = Mpd(models=tiny_models())
    image = make_picture(96, 80)
    plain = codec.encode(image, alpha=0.0)
    assert codec.encode(image, alpha=0.0, guide="fft") == plain
    guided = codec.encode(image, alpha=2.0, guide="blur")
    assert guided != plain
    assert codec.decode(guided).shape == image.shape
    # The palette of the data set is no clustering: nothing guides it.
    shared = codec.encode(image, palette="dataset", alpha=0.0)
    assert codec.encode(image, palette="dataset", alpha=2.0) == shared


def test_features_that_the_model_lacks_are_named() -> None:
    codec = Mpd(models=tiny_models())
    with pytest.raises(ModelError, match=r"features-fft\.safetensors missing"):
        codec.encode(make_picture(96, 80), alpha=0.1, guide="fft")


def test_the_codec_s_default_is_the_guide_that_training_uses() -> None:
    latent = photograph(9, 8, 1)
    alpha, guide = (Mpd.encode_keys[key].default for key in ("alpha", "guide"))
    assert (alpha, guide) == (ALPHA, BLUR)
    assert inspect.signature(Mpd.encode).parameters["alpha"].default == ALPHA
    np.testing.assert_array_equal(default_features(latent), weighted(blurred(latent), ALPHA))
