"""The codec contract: what a codec declares and the three things it does.

An image is always `uint8 (H, W, 3)` sRGB. A codec's keys fall in three groups: *encode* keys
decide the stream, *cut* keys say where an embedded stream is truncated, *decode* keys choose
among decoders of one stream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import CodecError, ConfigError, CorruptStream, ImageError

Image = NDArray[np.uint8]
Value = int | float | str


@dataclass(frozen=True)
class Key:
    """One key of a codec string.

    Attributes:
        kind: int, float or str; text is converted to it.
        default: value where the string leaves the key out; None: the key must be given.
        low, high: inclusive range of numbers.
        choices: the legal values, where they are few.
        help: one line for `icmbench codecs`.
    """

    kind: type[int] | type[float] | type[str]
    default: Value | None = None
    low: float | None = None
    high: float | None = None
    choices: tuple[Value, ...] = ()
    help: str = ""

    def convert(self, name: str, raw: object) -> Value:
        """The value of `raw` (text or number); ConfigError names the key and what is legal."""
        kind: Any = self.kind
        try:
            value: Any = kind(raw)
        except (TypeError, ValueError, OverflowError):
            value = None
        # 2.5 is not a whole number, True is not 1, and nan is in no range.
        exact = value is not None and (isinstance(raw, str) or value == raw)
        legal = exact and not isinstance(raw, bool)
        legal = legal and (not self.choices or value in self.choices)
        legal = legal and (self.low is None or value >= self.low)
        if not (legal and (self.high is None or value <= self.high)):
            raise ConfigError(f"{name}={raw}: expected {self.legal()}")
        checked: Value = value
        return checked

    def legal(self) -> str:
        """The legal values in words."""
        if self.choices:
            return "one of " + ", ".join(format_value(choice) for choice in self.choices)
        names = {int: "a whole number", float: "a number", str: "text"}
        text = names[self.kind]
        if self.low is not None and self.high is not None:
            return f"{text} from {format_value(self.low)} to {format_value(self.high)}"
        return text


def format_value(value: Value) -> str:
    """How a value stands in a codec string: `0.5`, `20`, `ddim`."""
    return f"{value:.10g}" if isinstance(value, float) else str(value)


class Codec(ABC):
    """A codec. Subclasses set the class attributes and write `encode` and `decode`.

    Class attributes:
        name: what stands before the colon of a codec string.
        title: how figures name it.
        extension: suffix of its files, without dot.
        encode_keys, cut_keys, decode_keys: its keys; a codec with cut keys is embedded.
        settings: the fixed settings in one sentence, printed with the tables.
        packages: distributions whose versions decide its bits or its pictures.
        coders: C libraries inside them, as the provenance names them.
        codec_id: its id in the shared container, None for foreign formats.
        lossless: whether the picture must come out bit-identical; checked on every image.
        uses_device: whether it can run on a GPU; the others always say `cpu`.
        model_name: the folder of its trained weights below `models`; None: it has none.
        training_section: the module whose `SECTION` (`icmbench.training.section`) adds the keys of
            its training to the configuration; None: it is trained elsewhere.
        batch_key: the decode key that says how many streams `decode_batch` is given at once; None:
            every stream is decoded alone.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    extension: ClassVar[str]
    encode_keys: ClassVar[Mapping[str, Key]] = {}
    cut_keys: ClassVar[Mapping[str, Key]] = {}
    decode_keys: ClassVar[Mapping[str, Key]] = {}
    settings: ClassVar[str] = ""
    packages: ClassVar[tuple[str, ...]] = ()
    coders: ClassVar[tuple[str, ...]] = ()
    codec_id: ClassVar[int | None] = None
    lossless: ClassVar[bool] = False
    uses_device: ClassVar[bool] = False
    model_name: ClassVar[str | None] = None
    training_section: ClassVar[str | None] = None
    batch_key: ClassVar[str | None] = None

    def __init__(self, *, models: Path | None = None, device: str = "cpu") -> None:
        """Load what is needed once per job: `models` is the folder of all trained weights."""
        self.models = models
        self.device = device

    @abstractmethod
    def encode(self, image: Image, **keys: Any) -> bytes:
        """The stream of an image. Raises CodecError where the image cannot be coded."""

    @abstractmethod
    def decode(self, stream: bytes, **keys: Any) -> Image:
        """The image of a stream and nothing else.

        Raises TruncatedStream, CorruptStream, WrongModel, UnsupportedVersion or SymbolMismatch.
        """

    def decode_batch(self, streams: Sequence[bytes], **keys: Any) -> list[Image]:
        """The images of several streams, computed together; errors as those of `decode`.

        Networks may sum in another order than for one stream, so the pictures may differ from
        those of `decode`: the codec string names it by `batch_key`.
        """
        return [self.decode(stream, **keys) for stream in streams]

    def truncate(self, stream: bytes, **keys: Any) -> bytes:
        """The shorter file at a cut of an embedded stream."""
        if keys:
            raise ConfigError(f"{self.name} is not an embedded codec: it has no cut keys")
        return stream

    def salvage(self, stream: bytes) -> tuple[bytes, str]:
        """What a damaged stream still holds: its longest legal prefix, and which point that is.

        Only containers with checksums can tell. Raises CodecError where nothing is left or the
        format cannot tell.
        """
        raise CodecError(f"{self.name} cannot tell which part of a damaged file is whole")

    @classmethod
    def unavailable(cls) -> str:
        """The reason why this codec cannot run on this machine; empty where it can.

        Such as a program, library or weight file that is absent. It is called while a run is
        planned and must be cheap. A run goes on without the codec and names the reason.
        """
        return ""

    def remark(self) -> str:
        """A remark on the last encoding that belongs beside its row; empty where there is none."""
        return ""

    @classmethod
    def file_extension(cls, **keys: Any) -> str:
        """Suffix of the file of one encoding; a foreign format that was wrapped says so."""
        return cls.extension

    @classmethod
    def recognises(cls, data: bytes) -> bool:
        """Whether a file's first bytes are of this codec's format."""
        return False

    def describe(self, stream: bytes) -> list[tuple[str, str]]:
        """Lines of `icmbench info`: (what, value)."""
        height, width = self.decode(stream).shape[:2]
        return [
            ("format", self.title),
            ("bytes", str(len(stream))),
            ("image", f"{width}x{height}"),
            ("bits per pixel", f"{8 * len(stream) / (width * height):.4f}"),
        ]


def check_image(image: object) -> Image:
    """`image` itself where it is uint8 (H, W, 3) and not empty, else ImageError."""
    if not isinstance(image, np.ndarray):
        raise ImageError(f"an image is a numpy array, not {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError(f"an image is uint8 (H, W, 3), not {image.dtype} {image.shape}")
    return image


def check_pixels(width: int, height: int, limit: int) -> None:
    """CorruptStream where a header names too many pixels (`too_large`): before any allocation."""
    if width < 1 or height < 1 or too_large(width, height, limit):
        raise CorruptStream(f"the header names {width}x{height} pixels, the limit is {limit}")


def too_large(width: int, height: int, limit: int) -> bool:
    """Whether an image has more pixels than `limit`.

    Learned codecs compute on whole units: about twice the pixels of a large image at most, as they
    fold thin ones (`icmbench.bitstream.folding`).
    """
    return width * height > limit
