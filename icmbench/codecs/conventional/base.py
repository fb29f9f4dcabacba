"""Base of the conventional codecs: foreign formats, and coding at reduced size.

With `scale=0.5` or `scale=0.25` an image is reduced before encoding and enlarged after decoding,
for rates below a format's lowest quality. The coded size determines the original size up to 1 (or
3) pixels a side; one byte before the foreign file holds the difference. It counts in the rate::

    scale=0.5    1010 00hw    h, w: 2 x coded size - original size   (0-1 each)
    scale=0.25   1011 hhww    hh, ww: 4 x coded size - original size (0-3 each)

No format here starts with such a byte, so wrapped and plain files are distinct.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from icmbench.codecs.base import Codec, Image, Key, Value, check_image
from icmbench.core.errors import CodecError, CorruptStream, IcmbenchError, TruncatedStream

SCALE: Final = Key(
    float, default=1.0, choices=(1.0, 0.5, 0.25), help="code at reduced size, Lanczos down and up"
)
MAX_PIXELS: Final = 1 << 28  # of a foreign file, by its header


class ConventionalCodec(Codec):
    """A foreign format: subclasses write `encode_plain`, `decode_plain` and `MARKS` (or
    `is_plain`)."""

    quality_keys: ClassVar[Mapping[str, Key]] = {}
    MARKS: ClassVar[tuple[tuple[int, bytes], ...]] = ()
    pillow_feature: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.encode_keys = {**cls.quality_keys, "scale": SCALE}

    @classmethod
    def unavailable(cls) -> str:
        """Return the reason where Pillow was built without the format."""
        from PIL import features

        if cls.pillow_feature and not features.check(cls.pillow_feature):
            return f"this Pillow was built without {cls.title}; install one of Pillow's wheels"
        return ""

    @abstractmethod
    def encode_plain(self, image: Image, **keys: Any) -> bytes:
        """Encode an image as foreign."""

    @abstractmethod
    def decode_plain(self, stream: bytes) -> Image:
        """Decode a foreign file; any exception of the foreign decoder may pass."""

    def encode(self, image: Image, *, scale: float = 1.0, **keys: Value) -> bytes:
        """Encode an image, or the reduced image behind its size byte."""
        check_image(image)
        factor = round(1 / scale)
        small, prefix = (image, b"") if factor == 1 else _reduce(image, factor)
        try:
            return prefix + self.encode_plain(small, **keys)
        except IcmbenchError:
            raise
        # Foreign encoders raise any type (OSError, RuntimeError, their own).
        except Exception as error:
            raise CodecError(f"{self.name} cannot code this image: {_one_line(error)}") from error

    def decode(self, stream: bytes, **keys: Value) -> Image:
        """Decode a file; one that the foreign decoder refuses is CorruptStream."""
        factor, plain = _unwrap(stream)
        if not plain:
            raise TruncatedStream(f"the {self.name} file is empty")
        try:
            image = check_image(self.decode_plain(plain))
        except IcmbenchError:
            raise
        except Exception as error:
            raise refusal(self.title, error) from error
        return image if factor == 1 else _enlarge(image, factor, stream[0])

    @classmethod
    def file_extension(cls, **keys: Any) -> str:
        """Return `webp`, or `webp-scaled` for files that other programs cannot read."""
        return cls.extension + ("-scaled" if keys.get("scale", 1.0) != 1.0 else "")

    @classmethod
    def recognises(cls, data: bytes) -> bool:
        """Check a file, plain or behind a size byte, for this format's signature."""
        return cls.is_plain(_unwrap(data)[1])

    @classmethod
    def is_plain(cls, data: bytes) -> bool:
        """Check a file that is not wrapped for this format's signature."""
        return any(data[at : at + len(mark)] == mark for at, mark in cls.MARKS)

    def describe(self, stream: bytes) -> list[tuple[str, str]]:
        """List format, file size, and the size of the decoded image."""
        factor, _ = _unwrap(stream)
        lines = super().describe(stream)
        if factor > 1:
            lines.append(("coded at scale", f"1/{factor}"))
        return lines


def _reduce(image: Image, factor: int) -> tuple[Image, bytes]:
    height, width = image.shape[:2]
    small_h, small_w = -(-height // factor), -(-width // factor)
    rest_h, rest_w = small_h * factor - height, small_w * factor - width
    first = 0xA0 | rest_h << 1 | rest_w if factor == 2 else 0xB0 | rest_h << 2 | rest_w
    return resize(image, small_w, small_h), bytes([first])


def _unwrap(stream: bytes) -> tuple[int, bytes]:
    if stream and 0xA0 <= stream[0] <= 0xA3:
        return 2, stream[1:]
    if stream and 0xB0 <= stream[0] <= 0xBF:
        return 4, stream[1:]
    return 1, stream


def _enlarge(small: Image, factor: int, first: int) -> Image:
    bits = 1 if factor == 2 else 2
    rest_h, rest_w = first >> bits & (factor - 1), first & (factor - 1)
    height, width = small.shape[0] * factor - rest_h, small.shape[1] * factor - rest_w
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise CorruptStream(f"the size byte gives an image of {width}x{height} pixels")
    return resize(small, width, height)


def resize(image: Image, width: int, height: int) -> Image:
    """Lanczos resampling (Pillow: antialiased when shrinking), 8 bits in and out."""
    import numpy as np
    from PIL import Image as PillowImage

    resized = PillowImage.fromarray(image).resize((width, height), PillowImage.Resampling.LANCZOS)
    return np.asarray(resized)


def refusal(title: str, error: Exception) -> CorruptStream | TruncatedStream:
    """Translate a foreign decoder's exception by its text."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return CorruptStream(f"not a readable {title} file")
    text = f"the {title} decoder refuses the file: {_one_line(error)}"
    short = any(word in text.lower() for word in ("truncated", "unexpected end", "more_input"))
    return TruncatedStream(text) if short else CorruptStream(text)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
