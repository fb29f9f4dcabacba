"""Temporary files: their names, and what killed processes leave."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

from icmbench.core import files
from icmbench.core.files import atomic_path, temporary_beside, write_bytes

WRITER = """
import os, signal, sys, time
from pathlib import Path
from icmbench.core.files import atomic_path
with atomic_path(Path(sys.argv[1])) as path:
    path.write_bytes(b"half")
    print("written", flush=True)
    time.sleep(60)
"""


def writer(target: Path) -> subprocess.Popen[bytes]:
    """A process that has half a file written."""
    command = [sys.executable, "-c", WRITER, str(target)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout
    assert process.stdout.readline() == b"written\n"
    return process


@pytest.fixture(autouse=True)
def _a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders are tidied once by each process: here by each test."""
    monkeypatch.setattr(files, "_tidied", set())


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    with writer(tmp_path / "0.zip") as killed, writer(tmp_path / "1.zip") as alive:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert len(list(tmp_path.iterdir())) == 2
        write_bytes(tmp_path / "0.zip", b"whole")
        left = [path.name for path in tmp_path.iterdir() if path.name != "0.zip"]
        assert len(left) == 1, "the file that is being written stays"
        assert f"-{alive.pid}.part.zip" in left[0]
        alive.kill()
    assert (tmp_path / "0.zip").read_bytes() == b"whole"


def plant(folder: Path, name: str, days: float = 0, where: str | None = None) -> Path:
    path = folder / name.format(here=where or files._machine())
    path.mkdir() if name.startswith(".folder") else path.touch()
    then = time.time() - 86400 * days
    os.utime(path, (then, then))
    return path


def test_what_is_abandoned_and_what_is_not(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = ended.pid
    going = [
        plant(tmp_path, f".a.{{here}}-{gone}.part.zip"),
        plant(tmp_path, f".b.c.{{here}}-{gone}.part"),
        plant(tmp_path, f".folder.{{here}}-{gone}.part"),
        plant(tmp_path, f".a.{{here}}-{gone}.part.csv", days=8, where="0" * 8),
        # The number is another process's by now: this one is younger than the file.
        plant(tmp_path, f".a.{{here}}-{os.getpid()}.part.csv", days=4000),
    ]
    staying = [
        plant(tmp_path, f".a.{{here}}-{os.getpid()}.part.zip"),
        plant(tmp_path, f".a.{{here}}-{os.getppid()}.part.zip"),
        plant(tmp_path, f".a.{{here}}-{gone}.part.zip", days=2, where="0" * 8),
        plant(tmp_path, f".a.{gone}.part.zip"),  # not such a name
        plant(tmp_path, f"a.{{here}}-{gone}.part.zip"),
        plant(tmp_path, "big.tar.part", days=30),  # a download that will be resumed
    ]
    write_bytes(tmp_path / "new", b"")
    assert [path.name for path in going if path.exists()] == []
    assert all(path.exists() for path in staying)


@pytest.mark.parametrize("name", ["a" * 255, "ü" * 120 + ".webp", "a." + "b" * 253])
def test_the_longest_names_are_written(name: str, tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(name)[:255])
    write_bytes(tmp_path / name, b"whole")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    own = temporary_beside(tmp_path / name)
    assert len(os.fsencode(own.name)) <= 255
    assert own != temporary_beside(tmp_path / f"{name[:-1]}x")


def test_the_first_error_is_told(tmp_path: Path) -> None:
    """And it names the file that was asked for, not the temporary one."""
    with pytest.raises(OSError, match=r"a{256}") as caught:
        write_bytes(tmp_path / ("a" * 256), b"")
    assert caught.value.errno == errno.ENAMETOOLONG


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")

    def fail() -> None:
        with atomic_path(tmp_path / "f") as temporary:
            temporary.write_bytes(b"half")
            raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_bytes() == b"old"


def test_an_error_is_not_hidden_by_the_removal(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_path(tmp_path / "f") as temporary:
            temporary.mkdir()  # cannot be unlinked
            raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        fail()
