"""Labels of scenes: COCO categories of things and classes of the semantic map."""

from __future__ import annotations

from typing import Any

#: Things in category-id order. `crate`/`basket` and `ball`/`yarn` share their silhouettes and
#: differ by surface pattern only: the classes that compression should hurt first.
THINGS: tuple[str, ...] = ("face", "ball", "yarn", "crate", "basket", "mug", "duck", "car")
STUFF: tuple[str, ...] = (
    "sky", "grass", "water", "sand", "wall", "pavement", "wood", "fabric", "foliage",
)  # fmt: skip

#: COCO categories, ids 1..8.
CATEGORIES: list[dict[str, Any]] = [
    {"id": number, "name": name, "supercategory": "person" if name == "face" else "object"}
    for number, name in enumerate(THINGS, start=1)
]
#: Names by value in the semantic map: stuff first, then things in category order.
SEMANTIC_CLASSES: list[str] = [*STUFF, *THINGS]
#: Value of semantic pixels that belong to no annotated instance (fragments too small to list).
IGNORE = 255

CATEGORY_IDS: dict[str, int] = {name: number for number, name in enumerate(THINGS, start=1)}
STUFF_VALUES: dict[str, int] = {name: value for value, name in enumerate(STUFF)}


def semantic_value(category_id: int) -> int:
    """Value in the semantic map of a thing's category id (1..8)."""
    return len(STUFF) + category_id - 1
