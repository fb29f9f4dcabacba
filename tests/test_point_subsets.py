"""`icmbench bd-rate`: BD-rates of an rd.csv over a subset of its points."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from icmbench.core.errors import ConfigError, MeasurementError
from icmbench.core.typed_csv import read_table
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.point_subsets import choose_points, read_rd, subset_bd_rates


def rd_rows() -> pd.DataFrame:
    """Anchor `avif`; `half` needs half its bits at every quality, `mpd` half below 20 dB alone."""
    rows = []
    for dataset in ("001", "NA"):
        for quality in (12.0, 16.0, 20.0, 24.0, 28.0):
            rate = 0.01 * 2 ** (quality / 4)
            for family, share in (
                ("avif", 1.0),
                ("half", 0.5),
                ("mpd", 0.5 if quality < 22 else 2),
            ):
                codec = f"{family}:quality={quality:g}"
                rows.append((dataset, codec, family, 9, 0, rate * share, quality, 1 / quality))
        rows.append((dataset, "identity", "identity", 9, 0, 8.0, np.inf, 0.0))
    names = ["dataset", "codec", "family", "images", "failed", "bpp", "psnr_rgb", "gmsd"]
    return pd.DataFrame(rows, columns=names)


def value(
    rates: pd.DataFrame, family: str, metric: str = "psnr_rgb", dataset: str = "001"
) -> float:
    rows = rates[(rates["dataset"] == dataset) & (rates["metric"] == metric)]
    return float(rows.set_index("family").loc[family, "bd_rate"])


def test_values_by_hand_over_all_points_and_some() -> None:
    metrics = {"psnr_rgb": True, "gmsd": False}
    table = rd_rows()
    whole = subset_bd_rates(table, metrics, ["avif"])
    assert value(whole, "half") == pytest.approx(-0.5, rel=1e-9)
    assert value(whole, "half", "gmsd", "NA") == pytest.approx(-0.5, rel=1e-9)
    assert value(whole, "mpd") > -0.4
    half = whole[(whole["family"] == "half") & (whole["metric"] == "gmsd")].iloc[0]
    assert (half["quality_low"], half["quality_high"]) == (1 / 28, 1 / 12)
    assert half["specs"] == " ".join(f"half:quality={q}" for q in (12, 16, 20, 24, 28))
    # A lossless family has no curve of any metric; the anchor is not compared with itself.
    assert set(whole["family"]) == {"half", "mpd"}
    some = choose_points(table, ["mpd:quality=1?", "mpd:quality=20"])
    assert sorted(some[some["family"] == "mpd"]["codec"].unique()) == [
        "mpd:quality=12", "mpd:quality=16", "mpd:quality=20",
    ]  # fmt: skip
    # Families without a named point keep all of theirs.
    assert (some["family"] == "avif").sum() == 10
    assert value(subset_bd_rates(some, metrics, ["avif"]), "mpd") == pytest.approx(-0.5, rel=1e-9)


def test_wrong_names_are_errors_with_the_nearest_right_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'mpd:quality=12'"):
        choose_points(rd_rows(), ["mpd:qualty=12"])
    with pytest.raises(ConfigError, match="anchor 'avfi': did you mean 'avif'"):
        subset_bd_rates(rd_rows(), {"psnr_rgb": True}, ["avfi"])
    with pytest.raises(MeasurementError, match="no such file"):
        read_rd(Path("/nowhere/rd.csv"))


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "icmbench", "bd-rate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_command(tmp_path: Path) -> None:
    path, out = tmp_path / "rd.csv", tmp_path / "bd.csv"
    write_csv(rd_rows(), path)
    done = run(
        path, "--anchor", "avif", "--points", "mpd:quality=1?", "mpd:quality=20",
        "--dataset", "001", "--metrics", "gmsd, psnr_rgb", "--out", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "14 of 16 points" in done.stdout
    assert "-50.0" in done.stdout
    found = read_table(out)
    assert value(found, "mpd") == pytest.approx(-0.5)
    done = run(path, "--anchor", "avif", "--metrics", "psnr")
    assert done.returncode == 2
    assert "psnr_rgb" in done.stderr
    assert run(tmp_path / "none.csv", "--anchor", "avif").returncode == 4
    table = tmp_path / "tasks.csv"
    write_csv(rd_rows().drop(columns="bpp"), table)
    assert "no column bpp" in run(table, "--anchor", "avif").stderr
