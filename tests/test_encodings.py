"""Text that the locale's encoding lacks: names, logs, tables, messages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, make_picture

from icmbench.core.errors import StorageError
from icmbench.core.files import write_text
from icmbench.core.images.image_files import write_png
from icmbench.evaluation.worker import _failure

# Python's own ways out of an ASCII locale are shut.
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}


def python(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, check=False
    )


@pytest.mark.parametrize(
    ("name", "env"),
    [
        ("Müller 日.webp", ASCII),
        ("ü.webp", {"PYTHONIOENCODING": "ascii"}),
        ("日.webp", {"PYTHONIOENCODING": "latin-1"}),
        (os.fsdecode(b"caf\xe9.webp"), {"PYTHONIOENCODING": "utf-8:strict"}),
    ],
)
def test_the_command_line_names_any_file(name: str, env: dict[str, str], tmp_path: Path) -> None:
    write_png(tmp_path / "in.png", make_picture(16, 24))
    arguments = ("-m", "icmbench", "encode", "in.png", name, "--codec", "webp:quality=20")
    done = python(*arguments, cwd=tmp_path, **env)
    assert done.returncode == 0, done.stderr
    assert b"webp:quality=20" in done.stdout
    assert (tmp_path / name).stat().st_size
    missing = python("-m", "icmbench", "info", f"not {name}", cwd=tmp_path, **env)
    assert missing.returncode == 3
    assert b"Traceback" not in missing.stderr


JOB = """
import locale
assert locale.getpreferredencoding(False) != "UTF-8", "not the locale that is tested"
import os
from pathlib import Path
import pandas as pd
from icmbench.evaluation.shard import ENCODED, read_rows, write_rows
from icmbench.datasets.records import Record
from icmbench.datasets.records import read_records, write_records
from icmbench.core.joblog import log_to
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.core.typed_csv import read_table

with log_to("job.log"):
    name = "M\\u00fcller \\u65e5 \\U0001f600.png"
    print("standard output:", name)
    write_records(Path("records.csv"), [Record(name, name)])
    assert read_records(Path("records.csv"))[0].image == name
    row = dict.fromkeys(ENCODED, "ok") | {"image": name, "detail": "\\u00e9chec"}
    write_rows(Path("rows.csv"), ENCODED, [row])
    assert read_rows(Path("rows.csv"), ENCODED) == [row]
    write_csv(pd.DataFrame({"image": [name], "bpp": [0.5]}), "table.csv")
    assert read_table("table.csv")["image"].tolist() == [name]
    raise ValueError(name)
"""


def test_a_job_in_an_ascii_locale(tmp_path: Path) -> None:
    done = python("-c", JOB, cwd=tmp_path, **ASCII)
    assert b"ValueError" in done.stderr, done.stderr
    log = (tmp_path / "job.log").read_text("utf-8")
    assert "standard output: Müller 日 😀.png" in log
    assert "ValueError: Müller 日 😀.png" in log


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    """A folder's name of another encoding; it used to end in a traceback of the codec's."""
    name = os.fsdecode(b"caf\xe9.png")
    with pytest.raises(StorageError, match=r"out\.csv: .*caf.*rename"):
        write_text(tmp_path / "out.csv", f"image,path\na,/data/{name}\n")
    assert not (tmp_path / "out.csv").exists()
    write_text(tmp_path / "out.csv", _failure(ValueError(f"{name}: damaged"))["detail"])
    assert "caf\\udce9.png: damaged" in (tmp_path / "out.csv").read_text("utf-8")
