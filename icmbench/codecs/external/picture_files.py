"""Picture files between this package and programs: PNG, PPM, raw YUV and YUV4MPEG2 of one frame."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from icmbench.codecs.base import Image
from icmbench.core.errors import CodecError, ImageError

if TYPE_CHECKING:
    from icmbench.codecs.external.planes import Yuv

_NAME: Final = re.compile(r"(yuv|y4m)(420|444)p(8|10)")
_Y4M: Final = b"YUV4MPEG2 "
_SITES: Final = {"left": "420mpeg2", "center": "420jpeg", "topleft": "420"}
_PNG_BITS: Final = 24  # place of the bit depth in a PNG file
_TIFF_BITS: Final = 258  # its tag BitsPerSample
_GAP: Final = rb"(?:\s|#[^\n]*\n)+"
_PPM: Final = re.compile(rb"P[2356]" + _GAP + rb"\d+" + _GAP + rb"\d+" + _GAP + rb"(\d+)")
_MODES: Final = {"RGB", "L"}


@dataclass(frozen=True)
class PictureFormat:
    """A format of picture files.

    Attributes:
        kind: png, ppm, yuv or y4m; also the suffix of its files.
        yuv: samples of the last two; None: 8-bit RGB.
    """

    kind: str
    halved: bool = False
    bits: int = 8
    matrix: str = ""
    full: bool = False
    chroma: str = ""

    @property
    def planar(self) -> bool:
        """YUV, raw or with a header."""
        return self.kind in ("yuv", "y4m")

    @property
    def yuv(self) -> Yuv:
        """Its samples, where it is planar."""
        from icmbench.codecs.external.planes import Yuv

        return Yuv(self.halved, self.bits, self.matrix, self.full, self.chroma)

    def __str__(self) -> str:
        """The format in the notes of tables."""
        if not self.planar:
            return self.kind.upper()
        name = "4:2:0" if self.halved else "4:4:4"
        matrix = {"gbr": "GBR"}.get(self.matrix, self.matrix.upper().replace("BT", "BT."))
        at = f", chroma {self.chroma}" if self.halved else ""
        return f"{name} {self.bits}-bit {matrix} {'full' if self.full else 'limited'} range{at}"


def picture_format(name: str, formats: Mapping[str, str]) -> PictureFormat:
    """The format of a name such as `yuv444p10`; matrix, range and chroma are of `formats`."""
    found = _NAME.fullmatch(name)
    if found is None:
        return PictureFormat(name)
    full = formats["range"] == "full"
    return PictureFormat(
        found[1], found[2] == "420", int(found[3]), formats["matrix"], full, formats["chroma"]
    )


def write_picture(path: Path, image: Image, form: PictureFormat) -> None:
    """Write an image, of even size where chroma is halved."""
    from PIL import Image as PillowImage

    if not form.planar:
        PillowImage.fromarray(image).save(path, form.kind.upper())
        return
    from icmbench.codecs.external.planes import to_planes

    height, width = image.shape[:2]
    head = b""
    if form.kind == "y4m":
        site = _SITES[form.chroma] if form.bits == 8 else "420"
        tag = (site if form.halved else "444") + (f"p{form.bits}" if form.bits > 8 else "")
        head = f"YUV4MPEG2 W{width} H{height} F1:1 Ip A1:1 C{tag}\nFRAME\n".encode()
    planes = to_planes(image, form.yuv)
    path.write_bytes(head + b"".join(plane.tobytes() for plane in planes))


def read_picture(
    path: Path, form: PictureFormat, program: str, size: tuple[int, int] | None
) -> Image:
    """Read the picture that a program wrote.

    Args:
        program: its name, for errors.
        size: width and height, which a raw file does not state.

    Raises CodecError where it is not of the format: other samples, another size, no picture.
    """
    data = path.read_bytes()
    if not form.planar:
        try:
            return read_rgb(data)
        except ImageError as error:
            raise CodecError(f"{program} wrote {error}") from error
    if form.kind == "y4m":
        data, size = _unframed(data, form, program)
    assert size is not None, "a raw file has its size in the header of the stream"
    return _from_samples(data, size, form, program)


def read_rgb(data: bytes) -> Image:
    """The image of a PNG, PPM, BMP or TIFF file of 8-bit RGB or grey; ImageError for any other."""
    import io

    import numpy as np
    from PIL import Image as PillowImage

    try:
        with PillowImage.open(io.BytesIO(data)) as opened:
            kind, bits = opened.format or "", _bits(data)
            if kind == "TIFF":
                bits = max(opened.getexif().get(_TIFF_BITS, (8,)))
            if kind not in ("PNG", "PPM", "BMP", "TIFF"):
                raise ImageError(f"a {kind} file, expected is PNG or PPM")
            if bits != 8 or opened.mode not in _MODES:
                text = f"{bits}-bit" if bits != 8 else f"mode {opened.mode}"
                raise ImageError(f"a {kind} file of {text} samples, expected is 8-bit RGB")
            return np.asarray(opened.convert("RGB"))
    # Pillow raises SyntaxError, ValueError or OSError for files that it cannot read.
    except (OSError, SyntaxError, ValueError, PillowImage.DecompressionBombError) as error:
        raise ImageError(f"no readable picture: {' '.join(str(error).split())}") from error


def _bits(data: bytes) -> int:
    """Bits per sample of a PNG or PPM file, which Pillow may reduce to 8 without a word."""
    if data.startswith(b"\x89PNG") and len(data) > _PNG_BITS:
        return data[_PNG_BITS]
    if found := _PPM.match(data):
        return int(found[1]).bit_length()
    return 8


def _unframed(data: bytes, form: PictureFormat, program: str) -> tuple[bytes, tuple[int, int]]:
    """Samples and size of the first frame of a YUV4MPEG2 file."""
    head, _, rest = data.partition(b"\n")
    if not head.startswith(_Y4M):
        raise CodecError(f"{program} wrote no YUV4MPEG2 file; correct formats.output")
    fields = {word[:1]: word[1:] for word in head.decode("latin-1").split()[1:]}
    tag = fields.get("C", "420jpeg")
    bits = int(found[1]) if (found := re.search(r"p(\d+)$", tag)) else 8
    if (tag[:3], bits) != ("420" if form.halved else "444", form.bits):
        raise CodecError(f"{program} wrote samples C{tag}, expected is {form}")
    frame, _, samples = rest.partition(b"\n")
    if not (frame.startswith(b"FRAME") and {*"WH"} <= {*fields}):
        raise CodecError(f"{program} wrote a YUV4MPEG2 file without a frame")
    return samples, (int(fields["W"]), int(fields["H"]))


def _from_samples(data: bytes, size: tuple[int, int], form: PictureFormat, program: str) -> Image:
    import numpy as np

    from icmbench.codecs.external.planes import from_planes

    yuv = form.yuv
    shapes = yuv.shapes(*size)
    counts = [height * width for height, width in shapes]
    expected = sum(counts) * yuv.dtype.itemsize
    if len(data) != expected:
        what = f"{size[0]}x{size[1]} in {form} has {expected}"
        raise CodecError(
            f"{program} wrote {len(data)} bytes of samples, {what}: another size or depth"
        )
    samples = np.frombuffer(data, yuv.dtype)
    parts = np.split(samples, np.cumsum(counts)[:-1])
    return from_planes([part.reshape(s) for part, s in zip(parts, shapes, strict=True)], yuv)
