"""The symbols of an image: from the codec's y and z to the three sections of a stream and back.

Section 0 holds the tags, section 1 the rate (one byte, where the model has several) and z, section
2 a digest of all symbols (2 bytes) and y. Everything that decides a bit runs in float64 on the CPU,
whatever computes the rest, and is rounded to 2^-20 before it meets an integer table.

Of a model with several rates, values of y that lie wholly in the padding are not coded: they are
the means that the entropy model predicts. A model of the published layout codes them, as its own
code does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from icmbench.bitstream import folding
from icmbench.bitstream.symbols import (
    DIGEST_BYTES,
    SymbolDecoder,
    SymbolEncoder,
    symbol_digest,
)
from icmbench.bitstream.tables import scale_indexes
from icmbench.codecs.diff_icmh.model_folder import Codec
from icmbench.codecs.diff_icmh.networks.checkerboard import pack
from icmbench.codecs.diff_icmh.networks.lfgcm import STRIDE
from icmbench.codecs.diff_icmh.tags import pack_tags, unpack_tags
from icmbench.core.errors import CorruptStream, SymbolMismatch, TruncatedStream
from icmbench.models.quantisation import (
    Symbols,
    as_symbols,
    channel_indexes,
    prior_symbols,
    prior_values,
)

SECTIONS: Final = 3
CELL: Final = 16  # pixels of a value of y


@dataclass(frozen=True)
class Coded:
    """The decoded content of a stream, besides the image's size.

    Attributes:
        tags: ids, ascending.
        rate: from 0, the lowest; None where the model has one.
        y_hat, z_hat: quantised, float64 (1, M, h, w) and (1, N, h/4, w/4).
    """

    tags: tuple[int, ...]
    rate: int | None
    y_hat: torch.Tensor
    z_hat: torch.Tensor


def padded_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of an image, folded where it is thin, continued to whole values of z."""
    return folding.padded_size(height, width, STRIDE)


def inside_image(codec: Codec, size: tuple[int, int]) -> torch.Tensor:
    """Mark the values of y that are coded, of an image of `size`: bool (1, 1, h, w)."""
    height, width = (side // CELL for side in padded_size(*size))
    inside = torch.ones(1, 1, height, width, dtype=torch.bool)
    if codec.lfgcm.settings.rates:
        rows, columns = (-(-side // CELL) for side in folding.coded_size(*size, STRIDE))
        inside[..., rows:, :] = False
        inside[..., columns:] = False
    return inside


def code_sections(
    codec: Codec,
    size: tuple[int, int],
    y: torch.Tensor,
    z: torch.Tensor,
    rate: int | None,
    tags: tuple[int, ...],
    vocabulary: int,
) -> tuple[list[bytes], Coded]:
    """The payloads of the three sections of one image, and what a decoder reads from them.

    Args:
        size: height and width of the image, not padded.
        y, z: (1, M, h, w) and (1, N, h/4, w/4), gained, not quantised.
        vocabulary: number of tags there are.
    """
    lfgcm = codec.lfgcm
    y, z = y.contiguous(), z.contiguous()  # as the decoder has them: same kernels, same sums
    medians = lfgcm.entropy_bottleneck.medians()
    z_symbols = prior_symbols(z, medians)
    coder = SymbolEncoder()
    coder.write(z_symbols, channel_indexes(z_symbols.shape), codec.z_tables)
    head = b"" if rate is None else bytes([rate])
    sections = [pack_tags(tags, vocabulary), head + coder.finish()]
    parts = [part.double() for part in lfgcm.split(y)]
    coder, passes = SymbolEncoder(), [_rate(rate), z_symbols]
    inside = inside_image(codec, size)

    def visit(scales: torch.Tensor, means: torch.Tensor, index: int, anchor: bool) -> torch.Tensor:
        coded = _coded(inside, anchor, scales)
        residual = (pack(parts[index], anchor) - means).round()
        residual = torch.where(coded, residual, torch.zeros_like(residual))
        passes.append(as_symbols(residual[coded]))
        coder.write(
            passes[-1], scale_indexes(scales[coded].numpy(), codec.y_tables), codec.y_tables
        )
        return residual

    z_hat = prior_values(z_symbols, medians)
    y_hat = lfgcm.walk(lfgcm.hyper(z_hat, rate), visit, exact=True)
    sections.append(symbol_digest(*passes) + coder.finish())
    return sections, Coded(tags, rate, y_hat, z_hat)


def read_sections(
    codec: Codec, sections: tuple[bytes, ...], size: tuple[int, int], vocabulary: int
) -> Coded:
    """The symbols of an image of `size` (height, width).

    Raises TruncatedStream where a section is missing, CorruptStream for payloads that no encoder
    writes, SymbolMismatch where the symbols are not those that the encoder meant.
    """
    if len(sections) < SECTIONS:
        raise TruncatedStream(f"the stream holds {len(sections)} of {SECTIONS} sections")
    if len(sections) > SECTIONS:
        raise CorruptStream(f"{len(sections)} sections, a stream of this codec has {SECTIONS}")
    lfgcm, settings = codec.lfgcm, codec.lfgcm.settings
    tags = unpack_tags(sections[0], vocabulary)
    rate, payload = read_rate(codec, sections[1])
    height, width = (side // STRIDE for side in padded_size(*size))
    coder = SymbolDecoder(payload)
    z_symbols = coder.read(channel_indexes((1, settings.hyper, height, width)), codec.z_tables)
    coder.check_end()
    if len(sections[2]) < DIGEST_BYTES:
        raise CorruptStream("the section of y is shorter than its digest")
    coder, passes = SymbolDecoder(sections[2][DIGEST_BYTES:]), [_rate(rate), z_symbols]
    inside = inside_image(codec, size)

    def visit(scales: torch.Tensor, means: torch.Tensor, index: int, anchor: bool) -> torch.Tensor:
        coded, residual = _coded(inside, anchor, scales), torch.zeros_like(means)
        passes.append(
            coder.read(scale_indexes(scales[coded].numpy(), codec.y_tables), codec.y_tables)
        )
        residual[coded] = torch.from_numpy(passes[-1]).double()
        return residual

    z_hat = prior_values(z_symbols, lfgcm.entropy_bottleneck.medians())
    try:
        y_hat = lfgcm.walk(lfgcm.hyper(z_hat, rate), visit, exact=True)
        coder.check_end()
    except CorruptStream as error:
        # The checksums passed, so the file is whole: other scales were computed than when coding.
        raise SymbolMismatch(f"the symbols of y cannot be those that were coded: {error}") from None
    if symbol_digest(*passes) != sections[2][:DIGEST_BYTES]:
        raise SymbolMismatch("the decoded symbols are not those that were coded (their digest)")
    return Coded(tags, rate, y_hat, z_hat)


def _coded(inside: torch.Tensor, anchor: bool, scales: torch.Tensor) -> torch.Tensor:
    """Mark the coded values of a pass: bool, of the shape of `scales`."""
    return pack(inside, anchor).expand_as(scales)


def read_rate(codec: Codec, payload: bytes) -> tuple[int | None, bytes]:
    """Split section 1 into its rate and the rest."""
    rates = codec.lfgcm.settings.rates
    if not rates:
        return None, payload
    if not payload or payload[0] >= rates:
        named = payload[0] + 1 if payload else "no rate"
        raise CorruptStream(f"the stream names rate {named}, the model has {rates}")
    return payload[0], payload[1:]


def _rate(rate: int | None) -> Symbols:
    """Return the rate as symbols of the digest: at another rate they decode differently."""
    return np.array([] if rate is None else [rate], np.int32)
