"""Codec contract: keys, encoding, truncation and decoding.

An image is always `uint8 (H, W, 3)` sRGB. A codec has three groups of keys: *encode* keys decide
the stream, *cut* keys the position where an embedded stream is truncated, *decode* keys the decoder
of a stream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from icmbench.core.errors import CodecError, ConfigError, CorruptStream, ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Image: TypeAlias = "NDArray[np.uint8]"
Value = int | float | str
SEED: Final = "seed"  # decode key of the noise of stochastic decoders, and of nothing else


@dataclass(frozen=True)
class Key:
    """One key of a codec spec.

    Attributes:
        kind: int, float or str; text is converted to it.
        default: value where the spec omits the key; None: the key is required.
        low, high: inclusive range of numbers.
        choices: all legal values, where they are few.
        help: one line for `icmbench codecs`.
    """

    kind: type[int] | type[float] | type[str]
    default: Value | None = None
    low: float | None = None
    high: float | None = None
    choices: tuple[Value, ...] = ()
    help: str = ""

    def convert(self, name: str, raw: object) -> Value:
        """Convert `raw` (text or number); ConfigError names the key and the legal values."""
        kind: Any = self.kind
        try:
            value: Any = kind(raw)
        except (TypeError, ValueError, OverflowError):
            value = None
        # 2.5 is not a whole number, True is not 1, and nan is in no range.
        # A number may stand for a text, such as the name of a folder.
        named = self.kind is str and isinstance(raw, int | float)
        exact = value is not None and (isinstance(raw, str) or named or value == raw)
        legal = exact and not isinstance(raw, bool)
        legal = legal and (not self.choices or value in self.choices)
        legal = legal and (self.low is None or value >= self.low)
        if not (legal and (self.high is None or value <= self.high)):
            raise ConfigError(f"{name}={raw}: expected {self.legal()}")
        checked: Value = value
        return checked

    def legal(self) -> str:
        """Describe the legal values."""
        if self.choices:
            return "one of " + ", ".join(format_value(choice) for choice in self.choices)
        names = {int: "a whole number", float: "a number", str: "text"}
        text = names[self.kind]
        if self.low is not None and self.high is not None:
            return f"{text} from {format_value(self.low)} to {format_value(self.high)}"
        return text


def seed_key() -> Key:
    """The decode key `SEED` of a stochastic decoder.

    Tables list points that differ in it alone once, with the mean over the seeds.
    """
    text = "of the decoder's noise, beside the digest of the stream; a list: tables give means"
    return Key(int, default=0, low=0, high=(1 << 31) - 1, help=text)


def format_value(value: Value) -> str:
    """Format a value as in a codec spec: `0.5`, `20`, `ddim`."""
    return f"{value:.10g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Latent:
    """The latent that a decoder makes of a file, before its image decoder.

    Attributes:
        values: float32 (h, w, C), standardised.
        size: height and width of the image.
    """

    values: NDArray[np.float32]
    size: tuple[int, int]


class Codec(ABC):
    """A codec. Subclasses set the class attributes and write `encode` and `decode`.

    Class attributes:
        name: the text before the colon of a codec spec.
        title: name in figures.
        extension: suffix of its files, without dot.
        encode_keys, cut_keys, decode_keys: its keys; a codec with cut keys is embedded.
        settings: fixed codec parameters in one sentence, printed with the tables.
        packages: distributions whose versions decide its bits or its reconstructions.
        coders: C libraries inside them, as the provenance names them.
        codec_id: its id in the shared container, None for foreign formats.
        lossless: whether reconstructions equal originals; checked on every image.
        uses_device: whether it can run on a GPU; others run on the CPU.
        model_name: folder of its trained weights below `models`; None: no weights.
        training_section: the module whose `SECTION` (`icmbench.training.section`) adds the keys of
            its training to the configuration, relative to the codec's package; None: it is trained
            elsewhere.
        has_latent: it has `decode_latent` and `image_latent`.
        batch_key: decode key with the number of streams per call of `decode_batch`; None: streams
            are decoded one by one.
        rate_key: encode or cut key that steers the rate, for `icmbench encode --target`; None: no
            key does so alone.
        head_bytes: fixed bytes of every file before and around the coded picture, in formats of
            boxes; 0: a few, or tables that belong to the coding.
        definition: the data that the class was made of (`icmbench.codecs.external`).
        foreign: its reconstructions were made elsewhere, and its streams are not decoded.
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
    has_latent: ClassVar[bool] = False
    batch_key: ClassVar[str | None] = None
    rate_key: ClassVar[str | None] = None
    head_bytes: ClassVar[int] = 0
    definition: ClassVar[Mapping[str, Any] | None] = None
    foreign: ClassVar[bool] = False

    def __init__(self, *, models: Path | None = None, device: str = "cpu") -> None:
        """Load the model, once per job; `models` is the folder of all trained weights."""
        self.models = models
        self.device = device

    @abstractmethod
    def encode(self, image: Image, **keys: Any) -> bytes:
        """Encode an image. Raises CodecError where the image cannot be coded."""

    @abstractmethod
    def decode(self, stream: bytes, **keys: Any) -> Image:
        """Decode a stream, without any other information.

        Raises TruncatedStream, CorruptStream, WrongModel, UnsupportedVersion or SymbolMismatch.
        """

    def decode_batch(self, streams: Sequence[bytes], **keys: Any) -> list[Image]:
        """Decode several streams together; errors as those of `decode`.

        Networks may sum in another order than for one stream, so reconstructions may differ from
        those of `decode`: the codec spec holds `batch_key`.
        """
        return [self.decode(stream, **keys) for stream in streams]

    def decode_latent(self, stream: bytes, **keys: Any) -> Latent:
        """Decode a stream as far as the latent that `decode` hands to its image decoder.

        Needs neither the image decoder nor any other information; errors as those of `decode`.
        """
        raise CodecError(f"{self.name} has no decoded latent")

    def image_latent(self, image: Image) -> Latent:
        """Compute the latent of an image that is not coded."""
        raise CodecError(f"{self.name} has no latent")

    def truncate(self, stream: bytes, **keys: Any) -> bytes:
        """Truncate an embedded stream."""
        if keys:
            raise ConfigError(f"{self.name} is not an embedded codec: it has no cut keys")
        return stream

    def salvage(self, stream: bytes) -> tuple[bytes, str]:
        """Return the longest valid prefix of a damaged stream, and the cut key of that prefix.

        Needs a container with checksums. Raises CodecError where nothing is left or the format has
        none.
        """
        raise CodecError(f"{self.name} has no checksums: no part of a damaged file is known valid")

    @classmethod
    def unavailable(cls) -> str:
        """Return the reason why this codec cannot run on this machine; empty where it can.

        Such as a program, library or weight file that is absent. It is called while a run is
        planned and must be cheap. A run goes on without the codec and names the reason.
        """
        return ""

    @classmethod
    def state(cls) -> str:
        """Return a text that changes with what lies outside this package and decides its results.

        Such as the versions of its programs. It is called while a run is planned and must be cheap.
        """
        return ""

    @classmethod
    def programs(cls) -> dict[str, Any]:
        """Return what the provenance states of the programs that it runs; empty where none."""
        return {}

    @classmethod
    def stochastic(cls, **keys: Any) -> bool:
        """True where the reconstruction at these decode keys depends on `SEED`."""
        return False

    def remark(self) -> str:
        """Return a remark on the last encoding for its row; empty where there is none."""
        return ""

    @classmethod
    def file_extension(cls, **keys: Any) -> str:
        """Return the suffix of the file of one encoding; a wrapped foreign format has its own."""
        return cls.extension

    @classmethod
    def recognises(cls, data: bytes) -> bool:
        """Check a file's first bytes for this codec's format."""
        return False

    def describe(self, stream: bytes) -> list[tuple[str, str]]:
        """Return the lines of `icmbench info`: (name, value)."""
        height, width = self.decode(stream).shape[:2]
        return [
            ("format", self.title),
            ("bytes", str(len(stream))),
            ("image", f"{width}x{height}"),
            ("bits per pixel", f"{8 * len(stream) / (width * height):.4f}"),
        ]


def check_image(image: object) -> Image:
    """Return `image` where it is uint8 (H, W, 3) and not empty; else raise ImageError."""
    import numpy as np

    if not isinstance(image, np.ndarray):
        raise ImageError(f"an image is a numpy array, not {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError(f"an image is uint8 (H, W, 3), not {image.dtype} {image.shape}")
    return image


def check_pixels(width: int, height: int, limit: int) -> None:
    """Raise CorruptStream where a header has too many pixels, before any allocation."""
    if width < 1 or height < 1 or too_large(width, height, limit):
        raise CorruptStream(f"the header names {width}x{height} pixels, the limit is {limit}")


def too_large(width: int, height: int, limit: int) -> bool:
    """Check an image for more pixels than `limit`.

    Learned codecs compute on whole units: about twice the pixels of a large image at most, as they
    fold thin ones (`icmbench.bitstream.folding`).
    """
    return width * height > limit
