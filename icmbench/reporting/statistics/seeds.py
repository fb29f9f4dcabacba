"""Operating points that differ in the seed of a stochastic decoder alone: one point, averaged.

Such points decode the same file with different noise. Tables list them once, under the codec spec
of the lowest seed, with the mean over the seeds; `seeds.csv` has the spread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from icmbench.codecs.base import SEED

if TYPE_CHECKING:  # a plan groups points where numpy is not installed
    import numpy as np
    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"


def split_seed(spec: str) -> tuple[str, int]:
    """Split a codec spec into the spec without its seed, and the seed; 0: the default.

    >>> split_seed("mpd:state=4,decoder=diffusion,seed=2")
    ('mpd:state=4,decoder=diffusion', 2)
    """
    name, _, rest = spec.partition(":")
    items = rest.split(",") if rest else []
    seeds = [item.partition("=")[2] for item in items if item.startswith(f"{SEED}=")]
    kept = ",".join(item for item in items if not item.startswith(f"{SEED}="))
    return (f"{name}:{kept}" if kept else name), int(seeds[0]) if seeds else 0


def seed_groups(specs: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Group codec specs that differ in the seed alone: spec of the lowest seed -> all, by seed."""
    found: dict[str, list[tuple[int, str]]] = {}
    for spec in dict.fromkeys(specs):
        base, seed = split_seed(spec)
        found.setdefault(base, []).append((seed, spec))
    ordered = [[spec for _, spec in sorted(group)] for group in found.values()]
    return {group[0]: tuple(group) for group in ordered}


def average_rows(
    rows: Sequence[Sequence[int]], ok: NDArray[np.bool_], values: Mapping[str, Floats]
) -> tuple[NDArray[np.bool_], dict[str, Floats]]:
    """Average rows of arrays (points, images) over groups of points.

    A group is ok on an image where all its points are; elsewhere its values are nan.

    Args:
        rows: numbers of the points of every group.
    """
    import numpy as np

    good = np.stack([ok[group].all(axis=0) for group in map(list, rows)])
    means = {}
    for name, table in values.items():
        # A group of one keeps its values bit by bit.
        parts = [table[group].mean(axis=0) for group in map(list, rows)]
        means[name] = np.where(good, np.stack(parts), np.nan)
    return good, means
