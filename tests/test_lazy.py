"""Sequences that are made when asked for, and arrays in a file without a name."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from icmbench.core.errors import StorageError
from icmbench.training.lazy import ArrayFile, Lazy


def test_elements_are_made_when_they_are_asked_for() -> None:
    made: list[int] = []

    def make(item: int) -> int:
        made.append(item)
        return item * item

    squares = Lazy(range(10), make)
    part = squares[8:2:-2]
    assert (len(squares), len(part), made) == (10, 3, [])
    assert (squares[3], squares[-1], part[1]) == (9, 81, 36)
    assert made == [3, 9, 6]
    assert list(part) == [64, 36, 16]
    with pytest.raises(IndexError):
        squares[10]


def test_an_error_of_an_element_is_not_the_end() -> None:
    with pytest.raises(IndexError, match="planted"):
        list(Lazy([1], lambda item: (_ for _ in ()).throw(IndexError("planted"))))


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    """Of any type, shape and order of memory, in any order; copies, which may be written to."""
    rng = np.random.default_rng(1)
    arrays = [
        rng.integers(-9, 9, (5, 7, 4)).astype(np.int16),
        np.asfortranarray(rng.random((3, 6))),
        np.empty((0, 3), np.float32),
        np.float32(2.5) * np.ones(()),
        rng.integers(0, 9, (9, 3)).astype(np.int32)[::2],
    ]
    stored = ArrayFile(tmp_path / "new")
    for array in arrays:
        stored.append(array)
    for number in (4, 0, 3, 1, 2):
        found = stored.read(number)
        assert found.dtype == arrays[number].dtype
        assert np.array_equal(found, arrays[number])
        found[...] = 0
    assert all(map(np.array_equal, stored.arrays(), arrays))
    stored.append(arrays[1])  # and the file goes on
    assert np.array_equal(stored.read(5), arrays[1])


def test_the_file_has_no_name_and_is_as_large_as_its_arrays(tmp_path: Path) -> None:
    """A killed process leaves no file."""
    stored = ArrayFile(tmp_path)
    for _ in range(3):
        stored.append(np.zeros((100, 100), np.int16))
    assert list(tmp_path.iterdir()) == []
    assert os.fstat(stored._file.fileno()).st_size == 60_000


def test_a_file_that_lost_its_end_is_named(tmp_path: Path) -> None:
    stored = ArrayFile(tmp_path)
    stored.append(np.zeros(10))
    os.ftruncate(stored._file.fileno(), 79)
    with pytest.raises(StorageError, match=f"temporary file in {tmp_path}: cannot be read back"):
        stored.read(0)


def test_a_full_disk_is_named() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    stored = ArrayFile()
    stored._file = open("/dev/full", "w+b", buffering=0)  # noqa: SIM115
    with pytest.raises(StorageError, match="No space left on device"):
        stored.append(np.zeros(10))
    stored._file.close()
