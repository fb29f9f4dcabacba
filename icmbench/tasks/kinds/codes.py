"""`codes`: QR, Data Matrix, EAN-13 and Code 128 symbols, read by ZXing-C++."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from icmbench.barcodes.formats import FORMATS, SMALLEST, modules
from icmbench.core.errors import ConfigError, TaskError
from icmbench.datasets.options import Option
from icmbench.tasks.base import Image, Labels, Task

if TYPE_CHECKING:
    from icmbench.tasks.answers.codes import Codes

LARGEST: Final = 16_000_000  # pixels of an enlarged image


class CodeReader(Task):
    """Symbols in the luma of an image, at any angle, light on dark too.

    The reader samples whole pixels: of a tilted matrix symbol it needs 4 for a module. In the
    enlarged image, bicubic, it reads down to 2 pixels a module, as an application would. All else
    are the package's defaults, except for the formats: others are not searched for.
    """

    kind = "codes"
    produces = "codes"  # of a module with numpy
    needs_annotations = False
    packages = ("zxing-cpp",)
    uses_device = False
    options = {
        "formats": Option(list, default=[*FORMATS], help=f"of the symbols: {', '.join(FORMATS)}"),
        "enlarge": Option(
            int, default=3, low=1, help="factor of the image's size; less for more than 16 MP"
        ),
    }

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        super().__init__(name, entry)
        given = self.values["formats"]
        for one in given:
            if one not in FORMATS:
                raise ConfigError(
                    f"task {name!r}: formats: {one!r} is none of {', '.join(FORMATS)}"
                )
        if not given:
            raise ConfigError(f"task {name!r}: formats: none is given")
        self._formats: dict[Any, str] = {}

    @property
    def model(self) -> str:
        """The package's own name."""
        return "ZXing-C++"

    def load(self, labels: Labels, device: str) -> None:
        """Import the reader; TaskError where it is not installed."""
        try:
            import zxingcpp
        except ImportError as error:
            raise TaskError(
                f"the Python package zxing-cpp cannot be loaded ({error}): `pip install zxing-cpp`"
            ) from error
        kinds = sorted(set(self.values["formats"]))
        self._formats = {getattr(zxingcpp, FORMATS[kind].zxing): kind for kind in kinds}

    def predict(self, image: Image, given: Sequence[Any]) -> Codes:
        """All symbols of an image, sorted by format, text and place.

        Raises TaskError for an image that is smaller than the smallest symbol.
        """
        import numpy as np
        import zxingcpp
        from PIL import Image as PillowImage

        from icmbench.tasks.answers.codes import Codes

        height, width = image.shape[:2]
        if max(height, width) < SMALLEST:
            raise TaskError(
                f"an image of {width}x{height} pixels is too small for a bar code: the smallest "
                f"has {SMALLEST} modules a side"
            )
        factor = max(1, min(self.values["enlarge"], math.isqrt(LARGEST // (width * height))))
        luma = PillowImage.fromarray(image).convert("L")
        if factor > 1:
            size = (width * factor, height * factor)
            luma = luma.resize(size, PillowImage.Resampling.BICUBIC)
        formats: Any = [*self._formats]  # what the package's stubs do not state
        found = []
        for symbol in zxingcpp.read_barcodes(np.asarray(luma), formats=formats):
            kind, place = self._formats.get(symbol.format), symbol.position
            if kind is not None:
                ends = (place.top_left, place.top_right, place.bottom_right, place.bottom_left)
                corners = tuple((end.x / factor, end.y / factor) for end in ends)
                found.append((kind, symbol.text, corners, modules(kind, symbol.text, symbol.extra)))
        found.sort()
        return Codes(
            tuple(each[0] for each in found),
            tuple(each[1] for each in found),
            np.array([each[2] for each in found], np.float64).reshape(len(found), 4, 2),
            tuple(each[3] for each in found),
        )
