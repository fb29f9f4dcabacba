"""Errors that icmbench raises on purpose.

The message names the file, the problem and the remedy. The command line prints it on one line and
exits with the error's code; the workflow records it as a row of a table. Any other exception is a
bug.
"""

from __future__ import annotations


class IcmbenchError(Exception):
    """Base of all errors below; `exit_code`: exit status of the command line."""

    exit_code = 1


class ConfigError(IcmbenchError):
    """The configuration, a codec spec or a key violates the schema or the codec's declaration."""

    exit_code = 2


class StorageError(IcmbenchError):
    """The disk is full, or the user's quota is exhausted."""


class DatasetError(IcmbenchError):
    """A data set is unavailable: a file is missing, its checksum differs, a download fails."""

    exit_code = 3


class ImageError(IcmbenchError):
    """A file is missing, is not an image, or is an image of an unsupported kind."""

    exit_code = 3


class MeasurementError(IcmbenchError):
    """A metric or a table cannot be computed from its input."""

    exit_code = 4


class CodecError(IcmbenchError):
    """A codec cannot encode or decode an image; base of the stream errors."""

    exit_code = 5


class TruncatedStream(CodecError):
    """The stream ends inside its header or inside a section."""

    exit_code = 6


class CorruptStream(CodecError):
    """A checksum of the stream is wrong, or a length or value in it is impossible."""

    exit_code = 7


class WrongModel(CodecError):
    """The stream was written with weights other than those of the loaded model."""

    exit_code = 8


class UnsupportedVersion(CodecError):
    """The format version or the codec id of the stream is unknown."""

    exit_code = 9


class SymbolMismatch(CodecError):
    """The digest of the decoded symbols differs from the encoder's: another kind of machine."""

    exit_code = 10


class ProgramCrashed(CodecError):
    """A program that a codec runs was ended by a signal."""


class ModelError(ConfigError):
    """A model folder lacks a file, or a weight file is damaged or belongs to another network."""

    exit_code = 11


class TaskError(IcmbenchError):
    """A task model does not fit a data set, or an operator that the model needs is missing."""

    exit_code = 12
