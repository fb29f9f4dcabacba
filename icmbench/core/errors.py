"""Every error that icmbench raises on purpose.

Each names what is wrong and, where there is one, the file. The command line turns them into one
line and an exit code; the workflow turns them into rows. Anything else that escapes is a bug.
"""

from __future__ import annotations


class IcmbenchError(Exception):
    """Base of all errors below; `exit_code` is what the command line returns."""

    exit_code = 1


class ConfigError(IcmbenchError):
    """The configuration, a codec string or a key is not what the schema or the codec declares."""

    exit_code = 2


class StorageError(IcmbenchError):
    """The disk, or the share of it that one may use, is full."""


class DatasetError(IcmbenchError):
    """A data set cannot be provided: a file is missing, its checksum differs, a URL fails."""

    exit_code = 3


class ImageError(IcmbenchError):
    """A file is missing, is not an image, or is of a kind that is refused (the text says why)."""

    exit_code = 3


class MeasurementError(IcmbenchError):
    """A metric or a table cannot be computed from what was given."""

    exit_code = 4


class CodecError(IcmbenchError):
    """A codec cannot code or decode; base of the stream errors."""

    exit_code = 5


class TruncatedStream(CodecError):
    """The stream ends inside its header or inside a section."""

    exit_code = 6


class CorruptStream(CodecError):
    """A checksum, a length or a value in the stream is impossible."""

    exit_code = 7


class WrongModel(CodecError):
    """The stream was written with other weights than the ones at hand."""

    exit_code = 8


class UnsupportedVersion(CodecError):
    """The stream's format version or codec id is not known to this program."""

    exit_code = 9


class SymbolMismatch(CodecError):
    """The decoded symbols differ from the encoder's (their digest says so): another machine."""

    exit_code = 10


class ModelError(ConfigError):
    """A folder of weights lacks a file, or one of its files is damaged or of another network."""

    exit_code = 11


class TaskError(IcmbenchError):
    """A task model and a data set do not fit, or an operator that a model needs is missing."""

    exit_code = 12
