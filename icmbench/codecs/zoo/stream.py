"""The symbols of an image: from y and z to the sections of a stream and back.

Of bmshj2018-factorized one section: y. Of the others two: z; then a digest of all symbols (2 bytes)
and y, whose scales and means follow from z. They are computed in float64 on the CPU, whatever
computes the rest, and rounded to 2^-20 before they meet an integer table.
"""

from __future__ import annotations

import torch

from icmbench.bitstream.folding import padded_size
from icmbench.bitstream.symbols import DIGEST_BYTES, SymbolDecoder, SymbolEncoder, symbol_digest
from icmbench.bitstream.tables import Tables, scale_indexes
from icmbench.codecs.zoo.model_folder import LoadedCodec
from icmbench.codecs.zoo.networks import HYPER_STRIDE, STRIDE, ScaleHyperprior
from icmbench.codecs.zoo.published import UNIT
from icmbench.core.errors import CorruptStream, SymbolMismatch, TruncatedStream
from icmbench.models.quantisation import (
    Symbols,
    as_symbols,
    channel_indexes,
    prior_symbols,
    prior_values,
)


def write_sections(codec: LoadedCodec, y: torch.Tensor, z: torch.Tensor | None) -> list[bytes]:
    """The payloads of the sections of one image.

    Args:
        y, z: (1, M, h, w) and (1, N, h/4, w/4), not quantised; z: None where y has the factorised
            prior.
    """
    medians = codec.network.entropy_bottleneck.medians()
    if z is None:
        return [_written(prior_symbols(y, medians), codec.prior)]
    z_symbols = prior_symbols(z, medians)
    first = _written(z_symbols, codec.prior)
    scales, means, gaussian = _gaussian(codec, z_symbols)
    y_symbols = as_symbols((y.cpu().double() - means).round())
    coder = SymbolEncoder()
    coder.write(y_symbols, scale_indexes(scales.numpy(), gaussian), gaussian)
    return [first, symbol_digest(z_symbols, y_symbols) + coder.finish()]


def read_sections(
    codec: LoadedCodec, sections: tuple[bytes, ...], size: tuple[int, int]
) -> torch.Tensor:
    """y_hat (1, M, h, w), float64, of an image of `size` (height, width).

    Raises TruncatedStream where a section is missing, CorruptStream for payloads that no encoder
    writes, SymbolMismatch where the symbols are not those that were coded.
    """
    hyper = codec.gaussian is not None
    expected = 1 + hyper
    if len(sections) < expected:
        raise TruncatedStream(f"the stream holds {len(sections)} of {expected} sections")
    if len(sections) > expected:
        raise CorruptStream(f"{len(sections)} sections, a stream of this codec has {expected}")
    medians = codec.network.entropy_bottleneck.medians()
    stride = HYPER_STRIDE if hyper else STRIDE
    height, width = (side // stride for side in padded_size(*size, UNIT))
    symbols = _read(sections[0], (1, len(codec.prior), height, width), codec.prior)
    if not hyper:
        return prior_values(symbols, medians)
    if len(sections[1]) < DIGEST_BYTES:
        raise CorruptStream("the section of y is shorter than its digest")
    scales, means, gaussian = _gaussian(codec, symbols)
    coder = SymbolDecoder(sections[1][DIGEST_BYTES:])
    try:
        y_symbols = coder.read(scale_indexes(scales.numpy(), gaussian), gaussian)
        coder.check_end()
    except CorruptStream as error:
        # The checksums passed, so the file is whole: other scales were computed than when coding.
        raise SymbolMismatch(f"the symbols of y cannot be those that were coded: {error}") from None
    if symbol_digest(symbols, y_symbols) != sections[1][:DIGEST_BYTES]:
        raise SymbolMismatch("the decoded symbols are not those that were coded (their digest)")
    return torch.from_numpy(y_symbols).double() + means


def _gaussian(codec: LoadedCodec, z_symbols: Symbols) -> tuple[torch.Tensor, torch.Tensor, Tables]:
    """Scales and means of y, and the tables that the scales select."""
    network = codec.network
    assert isinstance(network, ScaleHyperprior)
    assert codec.gaussian is not None
    z_hat = prior_values(z_symbols, network.entropy_bottleneck.medians())
    return *network.gaussian_parameters(z_hat), codec.gaussian


def _written(symbols: Symbols, tables: Tables) -> bytes:
    coder = SymbolEncoder()
    coder.write(symbols, channel_indexes(symbols.shape), tables)
    return coder.finish()


def _read(payload: bytes, shape: tuple[int, ...], tables: Tables) -> Symbols:
    coder = SymbolDecoder(payload)
    symbols = coder.read(channel_indexes(shape), tables)
    coder.check_end()
    return symbols
