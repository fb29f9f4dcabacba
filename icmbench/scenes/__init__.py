"""`scenes`: procedural, photograph-like scenes with exact annotations, drawn from a seed.

    scene = render_scene(seed=0, split="train", index=7, width=256, height=256)
    record = scene_annotations(scene, "train-00007")
    coco, landmarks = merge_annotations([record])

From the outside in: `scene` (entry), `annotations` and `draw` (COCO records, images), `records`
(types), `layout` (positions of objects), `render` (visibility, shading, camera
effects), `environment` and `surfaces` (stuff), `things_*` and `face_*` (things), `solids` (distance
functions and ray marching), `camera`, `noise`, `labels`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from icmbench.scenes.annotations import merge_annotations, scene_annotations
from icmbench.scenes.draw import draw_annotations
from icmbench.scenes.labels import CATEGORIES, IGNORE, SEMANTIC_CLASSES
from icmbench.scenes.records import Face, Instance, Scene

if TYPE_CHECKING:
    from icmbench.scenes.scene import render_scene

__all__ = [
    "CATEGORIES", "IGNORE", "SEMANTIC_CLASSES", "Face", "Instance", "Scene", "draw_annotations",
    "merge_annotations", "render_scene", "scene_annotations",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: labels are read in every start of the workflow, and rendering
    # takes SciPy's transforms and filters, half a second of it.
    if name == "render_scene":
        from icmbench.scenes.scene import render_scene

        return render_scene
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
