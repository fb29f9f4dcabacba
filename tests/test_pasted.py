"""Flat sheets in photographs: exact corners, averages over areas, light, and free places."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import make_picture

from icmbench.core.errors import DatasetError
from icmbench.pasted import (
    Light,
    Tilt,
    backdrop,
    develop,
    fits,
    generator,
    homography,
    light_near,
    outline,
    paste,
    project,
    sides,
    tilted,
    to_linear,
    to_srgb,
)


def random_tilt(rng: np.random.Generator) -> Tilt:
    yaw, pitch, roll = (float(v) for v in rng.uniform((-40, -40, 0), (40, 40, 360)))
    return Tilt(yaw, pitch, roll, rng.uniform(1.2, 4))


@pytest.mark.parametrize("seed", range(8))
def test_points_are_where_the_pixels_are(seed: int) -> None:
    """A dot of a sheet is found in the image at its projected place, to a tenth of a pixel."""
    rng = np.random.default_rng(seed)
    size = (420, 300)
    corners = tilted(size, (101.3, 90.7), rng.uniform(0.2, 0.4), random_tilt(rng))
    matrix = homography(outline(size), corners)
    np.testing.assert_allclose(project(matrix, outline(size)), corners, atol=1e-9)
    x, y = np.meshgrid(np.arange(420) + 0.5, np.arange(300) + 0.5)
    for place in ([60, 40], [210, 150], [360.5, 250]):
        sheet = np.full((300, 420, 3), 255, np.uint8)
        sheet[np.hypot(x - place[0], y - place[1]) < 9] = 0
        image = paste(np.ones((190, 210, 3), np.float32), sheet, corners, blur=0.4, shadow=0)
        dark = 1 - image[..., 0].astype(float)
        rows, columns = np.indices(dark.shape) + 0.5
        found = np.array([(dark * columns).sum(), (dark * rows).sum()]) / dark.sum()
        assert np.abs(found - project(matrix, [place])[0]).max() < 0.1


def test_a_sheet_without_tilt_is_a_rectangle_and_yaw_makes_one_side_shorter() -> None:
    flat = tilted((200, 100), (50, 40), 0.25, Tilt())
    np.testing.assert_allclose(flat, [[25, 27.5], [75, 27.5], [75, 52.5], [25, 52.5]])
    top, right, bottom, left = sides(tilted((200, 100), (50, 40), 0.25, Tilt(yaw=30)))
    assert top == pytest.approx(bottom)
    assert top < 50
    assert abs(left - right) > 2
    turned = tilted((200, 100), (50, 40), 0.25, Tilt(roll=90))
    np.testing.assert_allclose(turned[0] - turned[1], [0, -50], atol=1e-9)
    with pytest.raises(DatasetError, match="behind the camera"):
        tilted((200, 100), (50, 40), 0.25, Tilt(yaw=80, distance=0.4))
    with pytest.raises(DatasetError, match="lie on a line"):
        homography(outline((2, 2)), np.array([[0, 0], [1, 1], [2, 2], [0, 5]], float))


def test_fine_patterns_become_the_mean_of_their_light() -> None:
    """No aliasing at any scale, and the mean is that of light, not of sRGB values."""
    checks = (np.indices((512, 512)).sum(axis=0) % 2 * 255).astype(np.uint8)
    sheet = np.repeat(checks[..., None], 3, axis=2)
    for scale in (0.07, 0.11, 0.2):
        corners = tilted((512, 512), (64, 64), scale, Tilt(20, 10, 33))
        canvas = np.full((128, 128, 3), 0.5, np.float32)
        image = paste(canvas, sheet, corners, blur=0, shadow=0)
        assert np.abs(image - 0.5).max() < 0.03


def test_colours_opacity_light_and_shadow() -> None:
    canvas = np.full((60, 80, 3), 0.2, np.float32)
    sheet = np.zeros((100, 100, 4), np.uint8)
    sheet[:, :50] = (200, 100, 50, 255)
    corners = outline((40, 40)) + 10
    image = paste(canvas, sheet, corners, blur=0, shadow=0)
    colour = np.rint(255 * to_srgb(image[30, 20]))
    assert colour.tolist() == [200, 100, 50]
    assert (image[:, 31:] == canvas[:, 31:]).all()  # where the sheet is transparent
    half = paste(canvas, sheet, corners, Light((0.5, 0.5, 0.5)), blur=0, shadow=0)
    np.testing.assert_allclose(half[30, 20], image[30, 20] / 2, rtol=1e-5)
    sloped = paste(canvas, sheet, corners, Light(slope=(1, 0), origin=(20, 0)), blur=0, shadow=0)
    assert sloped[30, 28, 0] > image[30, 20, 0] > sloped[30, 12, 0]
    shaded = paste(canvas, sheet, corners, blur=0, shadow=0.5)
    assert (shaded <= image + 1e-6).all()
    assert shaded[50, 20, 0] < 0.17 < image[50, 20, 0]
    assert (canvas == np.float32(0.2)).all()
    cut = paste(canvas, sheet, corners - 25, blur=1.0)  # partly outside
    whole = paste(np.pad(canvas, ((30, 0), (30, 0), (0, 0))), sheet, corners + 5, blur=1.0)
    np.testing.assert_allclose(cut, whole[30:, 30:], atol=1e-6)
    with pytest.raises(DatasetError, match="outside of 80x60 pixels"):
        paste(canvas, sheet, corners + 200)


def test_the_camera() -> None:
    photograph = make_picture(120, 200, 1)
    canvas = backdrop(photograph, 64, 48, generator(1, "a"))
    assert canvas.shape == (48, 64, 3)
    assert (canvas == backdrop(photograph, 64, 48, generator(1, "a"))).all()
    for seed, name in ((2, "a"), (1, "b")):
        assert (canvas != backdrop(photograph, 64, 48, generator(seed, name))).any()
    for seed in range(40):  # a part of any size lies inside of the photograph
        backdrop(photograph, 200, 120, generator(seed, "x"), share=1.0)
    flat = np.full((200, 200, 3), 0.3, np.float32)
    image = develop(flat, generator(1, "a"), noise=2.0).astype(float)
    assert np.abs(image.mean() - 255 * to_srgb(flat)[0, 0, 0]) < 0.1
    assert image.mean(axis=2).std() == pytest.approx(2.0, rel=0.1)
    every = np.arange(256, dtype=np.uint8)
    assert (np.rint(255 * to_srgb(to_linear(every))) == every).all()
    light = light_near(canvas, outline((30, 20)) + 5, generator(3, "a"))
    assert 0.2 < min(light.colour) <= max(light.colour) <= 1


def test_free_places() -> None:
    """Those that fit have no pixel in common, at any turn; those that overlap are refused."""
    rng, size = np.random.default_rng(4), (200, 150)
    placed: list[np.ndarray] = []
    refused = 0
    for _ in range(200):
        corners = tilted((50, 30), rng.uniform(0, size), 0.8, random_tilt(rng))
        if fits(corners, placed, size, 3):
            placed.append(corners)
        else:
            refused += 1
    assert len(placed) >= 4
    assert refused
    seen = np.zeros((150, 200), int)
    for corners in placed:
        white = paste(np.zeros((150, 200, 3), np.float32), np.full((30, 50, 3), 255, np.uint8),
                      corners, blur=0, shadow=0)  # fmt: skip
        seen += white[..., 0] > 0
        assert (corners.min(axis=0) >= 3).all()
        assert (corners.max(axis=0) <= np.array(size) - 3).all()
    assert seen.max() == 1
    middle = tilted((50, 30), (100, 75), 0.8, Tilt())
    inside = tilted((10, 10), (100, 75), 0.5, Tilt())
    assert not fits(inside, [middle], size)
    assert not fits(middle, [inside], size)
