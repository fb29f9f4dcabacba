"""Rendering a scene and reading its annotations off the buffers."""

from __future__ import annotations

import numpy as np

from icmbench.core.errors import DatasetError
from icmbench.core.files import seed_from
from icmbench.scenes.labels import (
    CATEGORY_IDS,
    IGNORE,
    STUFF_VALUES,
    semantic_value,
)  # fmt: skip
from icmbench.scenes.layout import Layout, make_layout
from icmbench.scenes.records import (
    Face,
    Instance,
    Scene,
    landmark_box,
    mask_box,
)  # fmt: skip
from icmbench.scenes.render import Buffers, develop, render

_SMALLEST, _LARGEST = 64, 2048


def render_scene(seed: int, split: str, index: int, width: int, height: int) -> Scene:
    """Render scene `index` of a split, with its annotations.

    The scene's contents follow from (seed, split, index) and the aspect ratio, its pixels also from
    the size: the same arguments give the same scene in any process and any order.

    Raises:
        DatasetError: a side outside 64..2048 pixels.
    """
    if not (_SMALLEST <= width <= _LARGEST and _SMALLEST <= height <= _LARGEST):
        raise DatasetError(f"scene size {width} x {height} is outside {_SMALLEST}..{_LARGEST}")
    rng = np.random.Generator(np.random.PCG64(seed_from("scene", seed, split, index)))
    layout = make_layout(rng, width, height)
    buffers = render(layout)
    nearest = [layout.camera.depth(solid.ball()[0]) for solid in layout.solids]
    focus = layout.person.depth if layout.person else 1.25 * max(nearest, default=6.0)
    image = develop(buffers, focus, rng)
    semantic = buffers.stuff.copy()
    instances: list[Instance] = []
    face_instance = _annotate(layout, buffers, semantic, instances)
    faces = []
    if layout.person is not None and face_instance is not None:
        points = layout.person.landmarks
        inside = np.asarray(((points >= 0) & (points <= (width, height))).all(axis=1))
        faces.append(Face(landmark_box(points), points, inside, face_instance))
    return Scene(image, instances, semantic, faces)


def _annotate(layout: Layout, buffers: Buffers, semantic: np.ndarray, instances: list[Instance]
              ) -> int | None:  # fmt: skip
    """Fill the semantic map and the instances; return the index of the face, if any."""
    least = max(12, int(0.0006 * semantic.size))
    found = None
    for number, solid in enumerate(layout.solids):
        mask = buffers.owner == number
        if solid.label in STUFF_VALUES:
            semantic[mask] = STUFF_VALUES[solid.label]
            continue
        area, covered = int(mask.sum()), int(buffers.covered[number])
        occluded = 1 - int(buffers.seen[number]) / max(covered, 1)
        if area < least or occluded > 0.85:
            semantic[mask] = IGNORE
            continue
        category = CATEGORY_IDS[solid.label]
        semantic[mask] = semantic_value(category)
        if solid.label == "face":
            found = len(instances)
        instances.append(Instance(category, mask, mask_box(mask), area, occluded))
    return found
