"""Sequences whose elements are made when they are asked for, and arrays that lie in a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import StorageError
from icmbench.core.files import storage_errors

T_co = TypeVar("T_co", covariant=True)


class Lazy(Sequence[T_co]):
    """A sequence of `make(item)`, made anew whenever one is asked for.

    Args:
        items: what the elements are made of, such as a range of indices.
    """

    def __init__(self, items: Sequence[Any], make: Callable[[Any], T_co]) -> None:
        self._items, self._make = items, make

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> T_co: ...

    @overload
    def __getitem__(self, index: slice) -> Lazy[T_co]: ...

    def __getitem__(self, index: int | slice) -> T_co | Lazy[T_co]:
        """One element, or a sequence of those of a slice, none of which is made yet."""
        if isinstance(index, slice):
            return Lazy(self._items[index], self._make)
        return self._make(self._items[index])

    def __iter__(self) -> Iterator[T_co]:
        # Not that of Sequence, which takes an IndexError of `make` for the end.
        return map(self._make, self._items)


class ArrayFile:
    """Arrays in a temporary file without a name, so that they take no memory.

    The file is gone when the process ends, however it ends.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: where the file lies; None: in that of temporary files."""
        self._folder = Path(tempfile.gettempdir() if folder is None else folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (open while it is read)
        self._entries: list[tuple[int, tuple[int, ...], np.dtype[Any]]] = []
        self._end = 0

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, array: NDArray[Any]) -> None:
        """Write one more array, of any shape; StorageError where the disk is full."""
        data = array.tobytes()
        with storage_errors(self._folder):
            self._file.write(data)
            self._file.flush()
        self._entries.append((self._end, array.shape, array.dtype))
        self._end += len(data)

    def read(self, number: int) -> NDArray[Any]:
        """A copy of one array; StorageError where the file is incomplete."""
        start, shape, dtype = self._entries[number]
        size = dtype.itemsize * int(np.prod(shape))
        data = bytearray(os.pread(self._file.fileno(), size, start))
        if len(data) != size:
            raise StorageError(f"temporary file in {self._folder}: cannot be read back")
        return np.frombuffer(data, dtype).reshape(shape)

    def arrays(self) -> Lazy[NDArray[Any]]:
        """All arrays, in the order in which they were written."""
        return Lazy(range(len(self)), self.read)
