"""Codec strings that two entries have: coded once, complete under both."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import make_picture
from running import snakemake, succeed

from icmbench.core.errors import MeasurementError
from icmbench.core.files import write_parquet
from icmbench.core.images.image_files import write_png
from icmbench.core.typed_csv import read_table
from icmbench.datasets.records import Record
from icmbench.evaluation.decode import decode_shard
from icmbench.evaluation.encode import encode_shard
from icmbench.evaluation.measure import measure_shard, measured
from icmbench.evaluation.shard import CodecEntry, make_codec_entry
from icmbench.evaluation.sharing import shared_of, shared_strings
from icmbench.metrics.meter import Meter
from icmbench.reporting.statistics.comparison import comparison_set, describe


def family(name: str, points: list[dict[str, Any]]) -> CodecEntry:
    settings = {
        "entry": {"codec": "jpeg", "points": points}, "device": "cpu", "threads": 1,
        "limits": {"seconds_per_image": 20}, "models": None,
    }  # fmt: skip
    return make_codec_entry(name, settings)


FEW = family("few", [{"quality": [20, 50]}])
DENSE = family("dense", [{"quality": [10, 20, 30]}])
LAST = family("last", [{"quality": [10, 50, 90]}])


def test_the_first_entry_owns_a_string() -> None:
    found = shared_strings({one.name: one for one in (FEW, DENSE, LAST)})
    assert found == {
        "dense": {"few": ["jpeg:quality=20"]},
        "last": {"dense": ["jpeg:quality=10"], "few": ["jpeg:quality=50"]},
    }


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    found = []
    for number in range(2):
        write_png(tmp_path / f"{number}.png", make_picture(40, 48, number))
        found.append(Record(str(number), f"{number}.png", width=48, height=40))
    return found


def code(
    one: CodecEntry, records: list[Record], home: Path, shared: dict[str, Any]
) -> pd.DataFrame:
    """All jobs of an entry; its measurements."""

    def three(stage: str) -> list[str]:
        return [
            str(home / f"{owner}.{stage}.{suffix}") for owner in shared
            for suffix in ("zip", "csv", "timing")
        ]  # fmt: skip

    at = {s: [home / f"{one.name}.{s}.{x}" for x in ("zip", "csv", "timing")] for s in "ed"}
    archive, status, timing = at["e"]
    encode_shard(
        one, "d", records, home, streams=archive, status=status, timing=timing,
        shared=shared_of(shared, three("e")),
    )  # fmt: skip
    archive, status, timing = at["d"]
    decode_shard(
        one, "d", streams=at["e"][0], encoded=at["e"][1], pictures=archive, status=status,
        timing=timing, shared=shared_of(shared, three("d")),
    )  # fmt: skip
    known = measured(shared, [str(home / f"{owner}.parquet") for owner in shared], one.name)
    frame = measure_shard(
        "d", one.name, records, home, Meter(["psnr_rgb"]), pictures=archive, decoded=status,
        known=known,
    )  # fmt: skip
    write_parquet(home / f"{one.name}.parquet", frame)
    return frame


def test_shared_points_are_copied_and_equal_to_coded_ones(
    records: list[Record], tmp_path: Path
) -> None:
    code(FEW, records, tmp_path, {})
    alone = code(family("dense", [{"quality": [10, 20, 30]}]), records, tmp_path, {})
    # What was copied is told from what was coded by a planted time.
    for stage in "ed":
        path = tmp_path / f"few.{stage}.timing"
        table = read_table(path).assign(seconds=123.0)
        table.to_csv(path, index=False)
    shared = {"few": ["jpeg:quality=20"]}
    both = code(DENSE, records, tmp_path, shared)
    pd.testing.assert_frame_equal(both, alone)
    for stage in "ed":
        seconds = read_table(tmp_path / f"dense.{stage}.timing")
        assert set(seconds["family"]) == {"dense"}
        assert len(seconds) == 6
        copied = seconds[seconds["seconds"] == 123]
        assert list(copied["codec"]) == ["jpeg:quality=20"] * 2
        with zipfile.ZipFile(tmp_path / f"dense.{stage}.zip") as archive:
            assert len(archive.namelist()) == 6
    chosen = comparison_set(pd.concat([pd.read_parquet(tmp_path / "few.parquet"), both]), 0.25)
    assert describe(chosen)["d"]["images"] == ["0", "1"]


def test_a_failure_is_shared_and_an_absent_row_is_an_error(
    records: list[Record], tmp_path: Path
) -> None:
    code(FEW, records, tmp_path, {})
    for stage in "ed":
        path = tmp_path / f"few.{stage}.csv"
        text = path.read_text().replace(",0,ok,", ",0,encode-failed,")
        path.write_text(text)
        (tmp_path / f"few.{stage}.zip").write_bytes((tmp_path / f"few.{stage}.zip").read_bytes())
    shared = {"few": ["jpeg:quality=20"]}
    known = pd.read_parquet(tmp_path / "few.parquet")
    known.loc[known["image"] == "0", "status"] = "encode-failed"
    known.to_parquet(tmp_path / "few.parquet", index=False)
    frame = code(DENSE, records, tmp_path, shared).set_index(["codec", "image"])
    assert frame.loc[("jpeg:quality=20", "0"), "status"] == "encode-failed"
    assert frame.loc[("jpeg:quality=20", "1"), "status"] == "ok"
    assert (frame.loc["jpeg:quality=10", "status"] == "ok").all()
    path = tmp_path / "few.e.csv"
    lines = [line for line in path.read_text().splitlines() if "quality=20,1," not in line]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(MeasurementError, match=r"jpeg:quality=20, 1: .*no row"):
        code(DENSE, records, tmp_path, shared)


@pytest.mark.slow
def test_a_run_codes_a_shared_string_once(tmp_path: Path) -> None:
    config = {
        "datasets": {"scenes": {"test": 3, "size": 64}},
        "codecs": {
            "few": {"codec": "jpeg", "points": [{"quality": [20, 60]}]},
            "dense": {"codec": "jpeg", "points": [{"quality": [10, 20, 40, 60, 80]}]},
        },
        "metrics": ["psnr_rgb"],
        "shards": 2,
    }
    targets = [f"results/tables/{name}.csv" for name in ("rd", "timing")]
    succeed(snakemake(tmp_path, config, *targets))
    rd = read_table(tmp_path / targets[0]).set_index(["family", "codec"])
    times = read_table(tmp_path / targets[1]).set_index(["family", "codec"])
    assert len(rd) == len(times) == 7
    for codec in ("jpeg:quality=20", "jpeg:quality=60"):
        pd.testing.assert_series_equal(
            rd.loc[("few", codec)], rd.loc[("dense", codec)], check_names=False
        )
        columns = ["encode_s", "decode_s", "encode_start_s"]
        assert list(times.loc[("few", codec), columns]) == list(
            times.loc[("dense", codec), columns]
        )
