"""Bitstreams: the container that all learned codecs share."""

from icmbench.bitstream.container import Header, Stream, pack, parse, read_header

__all__ = ["Header", "Stream", "pack", "parse", "read_header"]
