"""Batches for Codec-Compare: its loader takes them, and they hold the run's measurements."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
from conftest import ROOT

from icmbench.cli import main
from icmbench.reporting.export.codec_compare import export_batches
from icmbench.reporting.tables.csv_files import write_csv

SCHEMAS = ROOT / "tests" / "data" / "codec_compare"
IMAGES = ("a", "b")


def _rows(family: str, specs: list[str], psnr: float) -> pd.DataFrame:
    rows = [
        {"dataset": "photos", "image": image, "family": family, "codec": spec,
         "encoding": spec.partition(",")[0], "bytes": 1000 + 10 * n, "width": 30, "height": 20,
         "bpp": 8 * (1000 + 10 * n) / 600, "status": "ok", "detail": "", "psnr_rgb": psnr + n,
         "ms_ssim": 0.9, "lpips": math.nan}
        for image in IMAGES
        for n, spec in enumerate(specs)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A run of three entries: one with a failure and an infinite value, an embedded one, PNG."""
    home = tmp_path / "results"
    jpeg = _rows("jpeg", ["jpeg:quality=5", "jpeg:quality=90", "jpeg:quality=50"], 30.123456789)
    jpeg.loc[1, ["status", "bytes", "psnr_rgb"]] = ["CodecError", None, math.nan]
    jpeg.loc[3, "psnr_rgb"] = math.inf
    tables = {
        "jpeg": jpeg,
        "mine": _rows("mine", ["mpd:a=1,state=0", "mpd:a=1,state=1"], 20.0),
        "identity": _rows("identity", ["identity"], math.inf),
    }
    for family, table in tables.items():
        folder = home / "measurements" / "photos" / family
        folder.mkdir(parents=True)
        for number, (_, part) in enumerate(table.groupby("image")):
            part.to_parquet(folder / f"{number}.parquet")
    timing = home / "timing" / "photos" / "mine"
    timing.mkdir(parents=True)
    for stage, names in (
        ("encode", ["mpd:a=1"]),
        ("decode", ["mpd:a=1,state=0", "mpd:a=1,state=1"]),
    ):
        rows = [{"image": image, "codec": name, "seconds": 0.5 + n}
                for image in IMAGES for n, name in enumerate(names)]  # fmt: skip
        write_csv(pd.DataFrame(rows), timing / f"0.{stage}.csv")
    codecs = pd.DataFrame({"family": ["identity", "jpeg", "mine"], "weights": ["", "", "bundled"],
                           "settings": "s", "versions": "numpy 2"})  # fmt: skip
    write_csv(codecs, home / "tables" / "codecs.csv")
    about = {"icmbench": "0.1.0", "revision": "abc",
             "config": {"codecs": {"jpeg": {}, "mine": {"codec": "mpd"}}}}  # fmt: skip
    (home / "provenance.json").write_text(json.dumps(about), encoding="utf-8")
    return home


def _read(path: Path, schema: str) -> Any:
    """JSON that a JavaScript parser takes, valid under a schema."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    content = json.loads(path.read_text("utf-8"), parse_constant=refuse)
    jsonschema.validate(content, json.loads((SCHEMAS / f"{schema}.schema.json").read_text("utf-8")))
    return content


def _batch(path: Path) -> tuple[dict[str, str], pd.DataFrame]:
    """Constants and rows, of the lengths that the loader asks for."""
    content = _read(path, "batch")
    constants = [name for each in content["constant_descriptions"] for name in each]
    fields = [name for each in content["field_descriptions"] for name in each]
    assert len(set(fields)) == len(fields)
    assert len(constants) == len(content["constant_values"])
    assert all(len(row) == len(fields) for row in content["field_values"])
    rows = pd.DataFrame(content["field_values"], columns=fields)
    return dict(zip(constants, content["constant_values"], strict=True)), rows


def test_batches_hold_the_measurements(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    lines = export_batches(results, out)
    assert lines == [
        "photos: identity: no batch, it is lossless or was not coded",
        "photos: jpeg: 4 rows, 2 left out",
        "photos: mine: 4 rows",
    ]
    assert _read(out / "photos" / "batches.json", "list") == [["jpeg.json"], ["mine.json"]]
    constants, rows = _batch(out / "photos" / "jpeg.json")
    assert constants["name"] == constants["codec"] == "jpeg"
    assert constants["left_out"] == "2"
    assert constants["benchmark"] == "icmbench 0.1.0, revision abc"
    # A failed coding and an infinite value are no rows; seconds nobody took are no field.
    assert list(rows) == ["original_name", "width", "height", "codec_spec", "quality",
                          "encoded_size", "psnr", "msssim"]  # fmt: skip
    assert rows.to_dict("list")["codec_spec"] == [
        "jpeg:quality=5", "jpeg:quality=50", "jpeg:quality=50", "jpeg:quality=90"]  # fmt: skip
    assert rows["quality"].tolist() == [5, 50, 50, 90]
    assert rows["encoded_size"].tolist() == [1000, 1020, 1020, 1010]
    assert rows["psnr"].tolist() == [30.1235, 32.1235, 32.1235, 31.1235]


def test_an_embedded_stream_has_the_seconds_of_its_one_encoding(
    results: Path, tmp_path: Path
) -> None:
    export_batches(results, tmp_path / "out")
    constants, rows = _batch(tmp_path / "out" / "photos" / "mine.json")
    assert (constants["codec"], constants["weights"]) == ("mpd", "bundled")
    assert "quality" not in rows
    assert rows["encoding_time"].tolist() == [0.5] * 4
    assert rows["decoding_time"].tolist() == [0.5, 1.5] * 2


def test_the_command_writes_equal_files_again(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        assert main(["export", "codec-compare", str(results), "-o", str(tmp_path / name)]) == 0
    assert "photos: mine: 4 rows" in capsys.readouterr().out
    for path in (tmp_path / "one" / "photos").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / "photos" / path.name).read_bytes()


def test_a_folder_without_a_run_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "codec-compare", str(tmp_path), "-o", str(tmp_path / "out")]) != 0
    error = capsys.readouterr().err
    assert f"{tmp_path}: no measurements" in error
    assert "give the results folder of a finished run" in error
    assert not (tmp_path / "out").exists()
