"""Tags of training images, from their annotations, their source and a classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image as PillowImage

from icmbench.core.errors import DatasetError
from icmbench.scenes.labels import SEMANTIC_CLASSES
from icmbench.training.data import TrainingData

SHARE: Final = 0.004  # of the pixels: a class that fills less is no tag of the image


@dataclass(frozen=True)
class TagSet:
    """Tags of training images.

    Attributes:
        vocabulary: names of all tags: of annotations, then of sources and classifier, sorted.
        tags: per image, ids of its tags, ascending.
        known: per image, the ids that its annotations would name if they were there; of the others
            nothing is known.
    """

    vocabulary: tuple[str, ...]
    tags: tuple[tuple[int, ...], ...]
    known: tuple[tuple[int, ...], ...]


def tag_training_data(data: TrainingData, of_source: Mapping[str, Sequence[str]]) -> TagSet:
    """Tags of training images.

    Scenes carry a semantic map (`<image>.semantic.png`), whose classes are their tags. A source may
    have tags that hold for all of its images, such as `photograph`. A set with `class_tags` has
    what a classifier finds in each image; nothing is known of these tags in others.

    Args:
        of_source: tags by the name of the source.
    """
    given = {name for names in of_source.values() for name in names} - set(SEMANTIC_CLASSES)
    classified = {name for names in data.class_tags for name in names or ()}
    own = sorted(given | classified - set(SEMANTIC_CLASSES))
    vocabulary = (*SEMANTIC_CLASSES, *own)
    ids = {name: number for number, name in enumerate(vocabulary)}
    classes = tuple(range(len(SEMANTIC_CLASSES)))
    of_sources = {ids[name] for name in given}
    by_classifier = {ids[name] for name in classified}
    tags, known = [], []
    sources = [name for name, count in data.sources for _ in range(count)]
    asked = data.class_tags or [None] * len(sources)
    for path, source, names in zip(data.paths, sources, asked, strict=True):
        found = {ids[name] for name in of_source.get(source, ())}
        semantic = path.with_name(f"{path.stem}.semantic.png")
        if semantic.is_file():
            found |= {ids[name] for name in _classes(semantic)}
        found |= {ids[name] for name in names or ()}
        tags.append(tuple(sorted(found)))
        told = of_sources | (by_classifier if names is not None else set())
        known.append(tuple(sorted(told | set(classes) if semantic.is_file() else told)))
    return TagSet(vocabulary, tuple(tags), tuple(known))


def _classes(path: Path) -> list[str]:
    """Classes of a semantic map that fill at least `SHARE` of it."""
    with PillowImage.open(path) as picture:
        values = np.asarray(picture)
    if values.ndim != 2:
        raise DatasetError(f"{path}: not a semantic map")
    counts = np.bincount(values.ravel(), minlength=len(SEMANTIC_CLASSES))
    return [n for v, n in enumerate(SEMANTIC_CLASSES) if counts[v] >= SHARE * values.size]
