"""`tools/mpd_losses.py`: one row per stage, on a picture of the test's own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, make_picture

from icmbench.core.images.image_files import write_png


def tool(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / "mpd_losses.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
def test_stages_of_one_picture(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", make_picture(128, 128))
    done = tool(tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in row] for row in rows[1:]]
    names = [row[0] for row in cells]
    assert names == [
        "autoencoder alone", "+ palette", "+ rate-distortion optimised labels",
        "+ reverse process R",
    ]  # fmt: skip
    psnr = [float(row[2].split()[0]) for row in cells]
    rates = [float(row[1].split()[0]) for row in cells[1:]]
    # The palette can only lose, optimised labels are cheaper, R changes no bit.
    assert psnr[0] > psnr[1] > 0
    assert rates[0] > rates[1] == rates[2]
    assert re.fullmatch(r"[\d.]+ \(\N{MINUS SIGN}\d+ %\)", cells[2][1])
    assert cells[0][1] == ""


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    done = tool(tmp_path)
    assert done.returncode == 1
    assert "no image" in done.stdout + done.stderr
