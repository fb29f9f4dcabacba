"""Share of bar codes that are still read, by format and size of the modules, and wrong ones.

A symbol is read where one of its format and exact text is found at its place: the two centres are
less than half of the symbol's longest side apart. A symbol that is found several times is read
once. What is found and is no symbol of the image, there, with this format and text, is misread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.barcodes.formats import FORMATS
from icmbench.core.errors import MeasurementError, TaskError
from icmbench.tasks.metrics.score import Score

if TYPE_CHECKING:
    from icmbench.tasks.answers.codes import Codes

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

# Classes of the size of a module in pixels, from the first up to below the second number. Of matrix
# symbols: a linear one is read along its bars, at two pixels as well as at four.
SIZES: Final[Mapping[str, tuple[float, float]]] = {
    "read_below_2_5px": (0, 2.5),
    "read_2_5_to_3px": (2.5, 3),
    "read_3_to_4px": (3, 4),
    "read_from_4px": (4, inf),
}
_GROUPS: Final = ("read", *(f"read_{kind}" for kind in FORMATS), *SIZES)


@dataclass(frozen=True)
class CodeCounts:
    """Statistics of one codec spec.

    Attributes:
        read: int64 (groups, images), symbols that were read, by group: all, formats, sizes.
        misread: int64 (images,), found symbols that are not there.
    """

    read: Counts
    misread: Counts


@dataclass(frozen=True)
class _Symbol:
    """An annotated symbol: `groups` that it belongs to, `radius` within which it is found."""

    kind: str
    text: str
    centre: Floats
    radius: float
    groups: tuple[int, ...]


class CodeEvaluator:
    """Judges the symbols of images against annotated ones, or those read in the originals."""

    metrics: ClassVar[Mapping[str, Score]] = {
        "read": Score("codes read", True, "share of symbols"),
        **{
            f"read_{kind}": Score(f"{each.title} read", True, "share of symbols")
            for kind, each in FORMATS.items()
        },
        "read_below_2_5px": Score("read, modules < 2.5 px", True, "share of 2D"),
        "read_2_5_to_3px": Score("read, modules 2.5-3 px", True, "share of 2D"),
        "read_3_to_4px": Score("read, modules 3-4 px", True, "share of 2D"),
        "read_from_4px": Score("read, modules ≥ 4 px", True, "share of 2D"),
        "misread": Score("misread", False, "symbols per image", inf),
    }

    def __init__(
        self, images: Sequence[str], codes: Mapping[str, Sequence[Mapping[str, Any]]]
    ) -> None:
        """`codes`: image id -> symbols with `format`, `text`, `corners` (4, 2), `module_px`.

        A `module_px` of 0 or none is unknown: the symbol is in no class of sizes. Raises TaskError
        naming the image that is not in it, and the symbol that is malformed or of an unknown
        format.
        """
        for image in images:
            if image not in codes:
                raise TaskError(f"image {image!r} has no list of codes, not even an empty one")
        self.images = list(images)
        self._symbols = [
            [
                _symbol(f"image {image!r}, symbol {n}", each)
                for n, each in enumerate(codes[image], 1)
            ]
            for image in self.images
        ]
        self._wanted = np.zeros((len(_GROUPS), len(self.images)), np.int64)
        for column, symbols in enumerate(self._symbols):
            for symbol in symbols:
                self._wanted[list(symbol.groups), column] += 1

    def count(self, predictions: Mapping[str, Codes]) -> CodeCounts:
        """Match the symbols of every image; MeasurementError where one has no prediction."""
        read = np.zeros_like(self._wanted)
        misread = np.zeros(len(self.images), np.int64)
        for column, (image, symbols) in enumerate(zip(self.images, self._symbols, strict=True)):
            if image not in predictions:
                raise MeasurementError(f"image {image!r} has no prediction")
            hit, wrong = _match(symbols, predictions[image])
            for symbol in hit:
                read[list(symbol.groups), column] += 1
            misread[column] = wrong
        return CodeCounts(read, misread)

    def values(self, counts: CodeCounts, weights: Counts) -> dict[str, Floats]:
        """The metrics where image i counts `weights[r, i]` times; nan where no symbol counts.

        Args:
            weights: int64 (R, images), not negative.

        Returns float64 (R,) per metric.
        """
        if weights.ndim != 2 or weights.shape[1] != len(self.images):
            raise ValueError(f"weights {weights.shape} for {len(self.images)} images")
        read, wanted = weights @ counts.read.T, weights @ self._wanted.T
        shares = np.where(wanted > 0, read / np.maximum(wanted, 1), np.nan)
        found = dict(zip(_GROUPS, shares.T, strict=True))
        images = weights.sum(axis=1)
        wrong = weights @ counts.misread
        found["misread"] = np.where(images > 0, wrong / np.maximum(images, 1), np.nan)
        return found


def _match(symbols: Sequence[_Symbol], found: Codes) -> tuple[list[_Symbol], int]:
    """The symbols that were read, and how many of the found ones are none of the image's.

    Pairs are made one to one, the nearest first; what is left over is no error where it is another
    find of a symbol that was read.
    """
    centres = found.corners.mean(axis=1)
    pairs = []
    for row, symbol in enumerate(symbols):
        for column, key in enumerate(zip(found.formats, found.texts, strict=True)):
            away = float(np.hypot(*(centres[column] - symbol.centre)))
            if key == (symbol.kind, symbol.text) and away < symbol.radius:
                pairs.append((away, row, column))
    read: dict[int, int] = {}
    for _, row, column in sorted(pairs):
        if row not in read and column not in read.values():
            read[row] = column
    right = {column for _, _, column in pairs}
    return [symbols[row] for row in sorted(read)], len(found.texts) - len(right)


def _symbol(where: str, given: Mapping[str, Any]) -> _Symbol:
    """A symbol of an annotation; TaskError naming it where it is malformed."""
    kind, text, corners = (given.get(key) for key in ("format", "text", "corners"))
    size = given.get("module_px") or 0.0
    if kind not in FORMATS:
        raise TaskError(f"{where}: unknown format {kind!r}; there are {', '.join(FORMATS)}")
    if not isinstance(text, str) or not text:
        raise TaskError(f"{where}: text={text!r} is no text")
    if not _are_corners(corners):
        raise TaskError(f"{where}: corners are not four finite pairs x, y")
    if not isinstance(size, int | float) or not 0 <= size < inf:
        raise TaskError(f"{where}: module_px={size!r} is no size in pixels")
    points = np.asarray(corners, np.float64)
    longest = float(np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1).max())
    groups = ["read", f"read_{kind}"]
    if size and not FORMATS[str(kind)].linear:
        groups += [name for name, (low, high) in SIZES.items() if low <= size < high]
    indices = tuple(_GROUPS.index(name) for name in groups)
    return _Symbol(str(kind), text, points.mean(axis=0), longest / 2, indices)


def _are_corners(value: Any) -> bool:
    try:
        points = np.array(value, np.float64)
    except (TypeError, ValueError):  # other types, or lists of different lengths
        return False
    return points.shape == (4, 2) and bool(np.isfinite(points).all())
