"""Tables read back: names stay letter by letter, numbers are numbers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

from icmbench.core.errors import MeasurementError
from icmbench.core.typed_csv import TEXT, read_table
from icmbench.reporting.tables.csv_files import write_csv

NAMES = ["001", "1e3", "NA", "null", "None", "nan", "inf", "True", "-0", "N/A", "1_000", "0x1f"]


def test_names_that_read_as_numbers_or_as_missing(tmp_path: Path) -> None:
    columns = dict.fromkeys(sorted(TEXT), NAMES)
    written = pd.DataFrame({**columns, "bpp": [0.25 * n for n in range(len(NAMES))]})
    write_csv(written, tmp_path / "table.csv")
    read = read_table(tmp_path / "table.csv")
    for name in columns:
        assert read[name].tolist() == NAMES, name
    assert read["bpp"].tolist() == written["bpp"].tolist()


def test_numbers_that_are_missing_or_infinite(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("codec,psnr,loss,images,empty\na,inf,nan,3,\nb,,0.5,4,\n")
    read = read_table(tmp_path / "t.csv")
    assert read["psnr"].tolist()[0] == float("inf")
    assert read["psnr"].isna().tolist() == [False, True]
    assert read["loss"].isna().tolist() == [True, False]
    assert read["images"].tolist() == [3, 4]
    assert read["images"].dtype == "int64"
    assert read["empty"].isna().all()


def test_an_empty_name_is_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("codec,note\na,\nb,few points\n")
    assert read_table(tmp_path / "t.csv")["note"].tolist() == ["", "few points"]


def test_a_table_without_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("codec,bpp\n")
    assert list(read_table(tmp_path / "t.csv").columns) == ["codec", "bpp"]


@pytest.mark.parametrize(
    "content", [b"", b"a,b\n1\n2,3,4\n", b"codec\n\xff\n", b"bpp\nmuch\n", b"a,b\n1,2,3\n"]
)
def test_what_is_no_table_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(MeasurementError, match=r"t\.csv"):
        read_table(tmp_path / "t.csv")


def test_committed_tables_have_known_columns() -> None:
    tables = sorted((ROOT / "reference").rglob("*.csv"))
    assert tables
    for path in tables:
        read_table(path)
