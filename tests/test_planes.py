"""RGB and planar YUV: values of the standards, ranges, positions of chroma samples, round trips."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.color
import skimage.data

from icmbench.codecs.external.planes import Yuv, from_planes, to_planes

# ITU-T H.273, E'Y, E'PB and E'PR of a colour, in 8 bits of limited range: BT.601, BT.709, BT.2020.
RED = {"bt601": (81, 90, 240), "bt709": (63, 102, 240), "bt2020": (74, 97, 240)}
GREEN = {"bt601": (145, 54, 34), "bt709": (173, 42, 26), "bt2020": (164, 47, 25)}


def yuv(matrix: str = "bt709", *, bits: int = 8, full: bool = False, chroma: str = "") -> Yuv:
    return Yuv(bool(chroma), bits, matrix, full, chroma)


def colour(*rgb: int, size: tuple[int, int] = (4, 6)) -> np.ndarray:
    return np.broadcast_to(np.array(rgb, np.uint8), (*size, 3)).copy()


def means(image: np.ndarray, form: Yuv) -> tuple[int, ...]:
    """The one value of every plane of an image of one colour."""
    planes = to_planes(image, form)
    assert all(np.ptp(plane) == 0 for plane in planes)
    return tuple(int(plane.flat[0]) for plane in planes)


@pytest.mark.parametrize("matrix", RED)
def test_colours_of_the_standards(matrix: str) -> None:
    assert means(colour(255, 0, 0), yuv(matrix)) == RED[matrix]
    assert means(colour(0, 255, 0), yuv(matrix)) == GREEN[matrix]
    assert means(colour(255, 255, 255), yuv(matrix)) == (235, 128, 128)
    assert means(colour(0, 0, 0), yuv(matrix, bits=10)) == (64, 512, 512)
    assert means(colour(255, 255, 255), yuv(matrix, bits=10)) == (940, 512, 512)
    assert means(colour(255, 255, 255), yuv(matrix, full=True)) == (255, 128, 128)
    assert means(colour(0, 0, 255), yuv(matrix, bits=10, full=True))[1] == 1023  # 1023.5, clipped


def test_gbr_is_the_planes_themselves() -> None:
    assert means(colour(10, 20, 30), yuv("gbr", full=True)) == (20, 30, 10)
    image = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    for bits, full in ((8, True), (10, True), (10, False)):
        form = yuv("gbr", bits=bits, full=full)
        assert np.array_equal(from_planes(to_planes(image, form), form), image)


def test_bt601_equals_scikit_image() -> None:
    image = skimage.data.astronaut()[:64, :80]
    expected = skimage.color.rgb2ycbcr(image)
    for channel, plane in enumerate(to_planes(image, yuv("bt601"))):
        assert np.abs(plane - expected[..., channel]).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize(("bits", "full", "worst"), [(8, False, 3), (8, True, 2), (10, False, 0)])
def test_images_come_back(matrix: str, bits: int, full: bool, worst: int) -> None:
    image = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    form = yuv(matrix, bits=bits, full=full)
    error = np.abs(from_planes(to_planes(image, form), form).astype(int) - image)
    assert error.max() <= worst


@pytest.mark.parametrize(
    ("chroma", "right", "down"), [("left", 0.0, 0.5), ("center", 0.5, 0.5), ("topleft", 0.0, 0.0)]
)
def test_chroma_samples_lie_where_they_are_stated(chroma: str, right: float, down: float) -> None:
    """On a ramp a symmetric filter gives the value at its centre, and back the ramp itself."""
    form = Yuv(True, 10, "bt709", True, chroma)
    for axis, offset in ((1, right), (0, down)):
        ramp = np.arange(64) * 2 + 60
        blue = np.broadcast_to(ramp if axis else ramp[:, None], (64, 64))
        image = np.stack([np.full((64, 64), 120), np.full((64, 64), 120), blue], -1).astype(
            np.uint8
        )
        plane = to_planes(image, form)[1].astype(float)
        line = plane.mean(axis=1 - axis)[8:24]
        per_pixel = (line[-1] - line[0]) / 15 / 2
        full = to_planes(image, yuv(bits=10, full=True))[1].mean(axis=1 - axis)
        positions = (line - full[0]) / per_pixel - 2 * np.arange(8, 24)
        assert np.abs(positions - offset).max() < 0.15
        back = from_planes(to_planes(image, form), form)
        assert np.abs(back.astype(int) - image)[8:-8, 8:-8].max() <= 1


def test_odd_sides_of_a_decoder_that_does_not_pad() -> None:
    """Planes of 4:2:0 with half a sample more, as AV1 decoders write them."""
    form = Yuv(True, 8, "bt709", False, "left")
    assert form.shapes(7, 5) == [(5, 7), (3, 4), (3, 4)]
    planes = [
        np.full(shape, value, np.uint8)
        for shape, value in zip(form.shapes(7, 5), RED["bt709"], strict=True)
    ]
    image = from_planes(planes, form)
    assert image.shape == (5, 7, 3)
    assert np.abs(image.astype(int) - (255, 0, 0)).max() <= 2
