"""Bar codes that were read in an image, stored as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from icmbench.barcodes.sizes import module_px
from icmbench.core.errors import TaskError
from icmbench.tasks.answers import Answer
from icmbench.tasks.answers.numbers import rounded, to_json
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.metrics.code_metrics import CodeEvaluator

CODES = "codes"


@dataclass(frozen=True)
class Codes:
    """Symbols that were read in one image.

    Attributes:
        formats: names of `icmbench.barcodes.formats.FORMATS`.
        texts: of the symbols.
        corners: float64 (n, 4, 2), x and y in pixels: top left, top right, bottom right, bottom
            left of the upright symbol.
        modules: across and down (n pairs); (0, 0): unknown, 0 down: a linear symbol.
    """

    produces: ClassVar[str] = CODES

    formats: tuple[str, ...]
    texts: tuple[str, ...]
    corners: NDArray[np.float64]
    modules: tuple[tuple[int, int], ...]


class CodeAnswer(Answer):
    """`Codes`, judged against annotated symbols or against those read in the originals."""

    extension = "json"
    metrics = CodeEvaluator.metrics
    refers = True

    def encode(self, prediction: Codes, size: tuple[int, int] | None) -> bytes:
        """A list of symbols: format, text, corners, modules."""
        count = len(prediction.texts)
        if prediction.corners.shape != (count, 4, 2) or not (
            len(prediction.formats) == len(prediction.modules) == count
        ):
            raise TaskError(f"{count} texts with corners of the shape {prediction.corners.shape}")
        if not np.isfinite(prediction.corners).all():
            raise TaskError("a corner is not finite")
        return to_json(
            [
                {
                    "format": prediction.formats[n],
                    "text": prediction.texts[n],
                    "corners": [rounded(point) for point in prediction.corners[n]],
                    "modules": list(prediction.modules[n]),
                }
                for n in range(count)
            ]
        )

    def decode(self, data: bytes) -> Codes:
        """The symbols, corners as rounded."""
        symbols = json.loads(data)
        corners = np.array([each["corners"] for each in symbols], np.float64)
        return Codes(
            tuple(str(each["format"]) for each in symbols),
            tuple(str(each["text"]) for each in symbols),
            corners.reshape(len(symbols), 4, 2),
            tuple((int(each["modules"][0]), int(each["modules"][1])) for each in symbols),
        )

    def annotated(self, truth: Truth) -> bool:
        """True if there are lists of symbols, of the data set or of `refer`."""
        return bool(truth.more.get(CODES))

    def needs_originals(self, truth: Truth) -> bool:
        """True if no image has an annotated symbol."""
        return not any(truth.more.get(CODES, {}).values())

    def refer(self, truth: Truth, found: Mapping[str, Codes]) -> Truth:
        """Annotations that are the symbols read in the originals."""
        read = {name: _as_annotation(codes) for name, codes in found.items()}
        return replace(truth, more={**truth.more, CODES: read})

    def evaluator(self, truth: Truth, images: Sequence[str]) -> CodeEvaluator:
        """Of the share of symbols that are read."""
        return CodeEvaluator(images, truth.more[CODES])


def _as_annotation(codes: Codes) -> list[dict[str, Any]]:
    return [
        {
            "format": kind,
            "text": text,
            "corners": corners.tolist(),
            "module_px": module_px(corners, *modules),
        }
        for kind, text, corners, modules in zip(
            codes.formats, codes.texts, codes.corners, codes.modules, strict=True
        )
    ]


ANSWER = CodeAnswer()
