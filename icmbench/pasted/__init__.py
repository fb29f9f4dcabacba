"""`pasted`: flat sheets in photographs, in perspective, under light, with exact corners.

    rng = generator(seed, image_id)
    canvas = backdrop(photograph, width, height, rng)             # float32, linear light
    corners = tilted(size, centre, scale, Tilt(yaw=20, roll=5))   # of a sheet of `size` pixels
    canvas = paste(canvas, sheet, corners, light_near(canvas, corners, rng), blur=0.5)
    image = develop(canvas, rng, noise=1.5)                       # uint8
    matrix = homography(outline(size), corners)
    points = project(matrix, points_of_the_sheet)

`geometry` (homography, tilt, free places), `light`, `paste`, `camera` (backdrop, noise). Points
are x, y in pixels; the centre of the first pixel is (0.5, 0.5). Corners are in the reading order
of a sheet: top left, top right, bottom right, bottom left. Sheets are drawn with more pixels than
they have in the image; pasting averages over areas, in linear light.
"""

from __future__ import annotations

from icmbench.pasted.camera import backdrop, develop, generator
from icmbench.pasted.geometry import (
    Tilt,
    fits,
    homography,
    outline,
    project,
    sides,
    tilted,
)
from icmbench.pasted.light import Light, light_near, to_linear, to_srgb
from icmbench.pasted.paste import paste

__all__ = [
    "Light", "Tilt", "backdrop", "develop", "fits", "generator", "homography", "light_near",
    "outline", "paste", "project", "sides", "tilted", "to_linear", "to_srgb",
]  # fmt: skip
