"""`icmbench import-results` and `icmbench published`: others' results files as points."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from official import REAL, needs

from icmbench.core.errors import MeasurementError
from icmbench.reporting.published import importing
from icmbench.reporting.published.formats.common import Given
from icmbench.reporting.published.overlay import SetOfRun, agreeing
from icmbench.reporting.published.points import Point, read_points

RD = REAL / "rd"
KODAK = {"dataset": "kodak"}
NAMED = {"codec": "C", **KODAK}
COMPRESSAI = json.dumps({
    "name": "mbt2018-mean-ms-ssim", "description": "Inference (ans)",
    "results": {"psnr-rgb": [30, 33.5], "ms-ssim-rgb": [0.95, 0.98], "bpp": [0.5, 0.2],
                "encoding_time": [1, 2]},
})  # fmt: skip
AEIC = """### CLIC 2020 Test ###
bpp = [0.004, 0.007]
psnr = [22.3, 23.5]
### Kodak ###
bpp = [0.005, 0.01]
psnr = [20.0, 21.0]
msssim = [0.6, 0.7]
"""
COOL_CHIC = """lmbda\tseq_name\tn_pixels\tloss\tpsnr_db\trate_bpp
0.001\tkodim01\t800\t1\t30.0\t0.510000
0.001\tkodim02\t800\t1\t34.0\t1.500000
0.02\tkodim01\t800\t1\t25.0\t0.250000
0.02\tkodim02\t800\t1\t27.0\t0.350000
"""
CODEC_EVAL = """image,codec,quality,width,height,file_size,bpp,encode_ms,psnr,ssimulacra2
a.png,mozjpeg,50,100,80,1000,1.000000,3,30,60
b.png,mozjpeg,50,100,80,3000,3.000000,3,34,70
a.png,mozjpeg,90,100,80,4000,4.000000,3,40,90
b.png,mozjpeg,90,100,80,6000,6.000000,3,42,94
"""
FILES = {
    "compressai": COMPRESSAI, "aeic": AEIC, "cool-chic": COOL_CHIC, "codec-eval": CODEC_EVAL,
}  # fmt: skip


def imported(tmp_path: Path, text: str, kind: str | None = None, **given: Any) -> list[Point]:
    path = tmp_path / "results.txt"
    path.write_text(text)
    return importing.import_file(path, Given("results.txt", **given), kind)[1]


@pytest.mark.parametrize("kind", FILES)
def test_a_format_is_recognised_by_content(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "results.txt"
    path.write_text(FILES[kind])
    name, points = importing.import_file(path, Given("f", "mozjpeg", "kodak"))
    assert name == kind
    assert {point.dataset for point in points} == {"kodak"}
    assert {one for one, module in importing.FORMATS.items() if module.recognises(FILES[kind])} == {
        kind
    }


def values(points: Sequence[Point], metric: str) -> list[tuple[float, float]]:
    return [(p.bpp, pytest.approx(p.value)) for p in points if p.metric == metric]


def test_points_of_compressai(tmp_path: Path) -> None:
    points = imported(tmp_path, COMPRESSAI, dataset="kodak")
    assert {(p.codec, p.bits, p.source) for p in points} == {
        ("mbt2018-mean (ms-ssim)", "real", "results.txt")
    }
    assert values(points, "psnr_rgb") == [(0.2, 33.5), (0.5, 30.0)]
    assert {p.metric for p in points} == {"psnr_rgb", "ms_ssim"}
    estimated = COMPRESSAI.replace("(ans)", "(entropy estimation)")
    assert {p.bits for p in imported(tmp_path, estimated, dataset="kodak")} == {"estimated"}
    paper = json.dumps({
        "name": "elic2022", "description": "official results",
        "meta": {"source": "paper", "opt_metric": "ms-ssim-rgb", "dataset": "kodak"},
        "results": {"bpp": [0.1], "ms-ssim-db-rgb": [20.0]},
    })  # fmt: skip
    (point,) = imported(tmp_path, paper)
    assert (point.codec, point.dataset, point.bits) == ("elic2022 (ms-ssim)", "kodak", "not stated")
    assert (point.metric, point.value) == ("ms_ssim", pytest.approx(0.99))


def test_points_of_aeic(tmp_path: Path) -> None:
    points = imported(tmp_path, AEIC, codec="AEIC-ME")
    assert {p.dataset for p in points} == {"clic2020-test", "kodak"}
    points = imported(tmp_path, AEIC, codec="AEIC-ME", dataset="kodak", bits="real")
    assert values(points, "psnr_rgb") == [(0.005, 20.0), (0.01, 21.0)]
    assert values(points, "ms_ssim_y") == [(0.005, 0.6), (0.01, 0.7)]
    assert {p.bits for p in points} == {"real"}
    named = AEIC.replace("### CLIC 2020 Test ###", "# StableCodec on CLIC 2020 Test")
    assert {p.codec for p in imported(tmp_path, named)} == {"StableCodec"}


def test_points_of_cool_chic_are_means_over_images(tmp_path: Path) -> None:
    points = imported(tmp_path, COOL_CHIC, codec="C", dataset="kodak")
    assert values(points, "psnr_rgb") == [
        (pytest.approx(0.3), 26.0), (pytest.approx(1.005), 32.0),
    ]  # fmt: skip
    assert {p.bits for p in points} == {"real"}  # 800 pixels: 0.51 bpp are 51 bytes
    other = COOL_CHIC.replace("0.510000", "0.514000")
    assert {p.bits for p in imported(tmp_path, other, codec="C", dataset="k")} == {"estimated"}
    yuv = COOL_CHIC.replace("kodim0", "yuv420_")
    assert {p.metric for p in imported(tmp_path, yuv, codec="C", dataset="k")} == {"psnr_yuv"}


def test_points_of_codec_eval_are_means_over_images(tmp_path: Path) -> None:
    points = imported(tmp_path, CODEC_EVAL, dataset="mine")
    assert values(points, "psnr_rgb") == [(2.0, 32.0), (5.0, 41.0)]
    assert values(points, "ssimulacra2") == [(2.0, 65.0), (5.0, 92.0)]
    assert {p.codec for p in points} == {"mozjpeg"}
    sized = "\n".join(re.sub(r",[\d.]+(,3,)", r"\1", line) for line in CODEC_EVAL.splitlines())
    sized = sized.replace(",bpp,", ",")
    assert values(imported(tmp_path, sized, dataset="mine"), "psnr_rgb") == [
        (2.0, 32.0),
        (5.0, 41.0),
    ]


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("hello", {}, "no known results file: known are CompressAI's JSON"),
        (COMPRESSAI, {}, "does not name the dataset: give --dataset"),
        (AEIC, {"dataset": "kodak"}, "does not name the codec: give --codec"),
        (AEIC, {"codec": "A", "dataset": "tecnick"}, "no section is of tecnick"),
        (AEIC.replace(", 0.01]", "]"), {"codec": "A"}, "2 values of psnr for 1 rates"),
        (COMPRESSAI.replace("0.2]", "0.2, 3]"), KODAK, "2 values of psnr-rgb for 3 rates"),
        (COMPRESSAI.replace('"bpp"', '"rate"'), KODAK, "has no bpp"),
        (COMPRESSAI.replace("[0.5, 0.2]", "0.5"), KODAK, "a single image"),
        (COMPRESSAI.replace("[0.5, 0.2]", "[40, 16]"), KODAK, "40 bits per pixel of"),
        (COOL_CHIC.replace("kodim02", "kodim03", 1), NAMED,
         "not of the same images: kodim02"),
        (COOL_CHIC.replace("kodim02", "kodim01"), NAMED, "kodim01 occurs twice"),
        (COOL_CHIC.replace("25.0", "?"), NAMED, "psnr_db holds '\\?'"),
        (COOL_CHIC.replace("loss", "n_frames"), NAMED, "results of videos"),
        (CODEC_EVAL.replace(",1000,", ",8000,"), KODAK,
         "file_size 8000 is 8 bits per pixel, bpp states 1: bits in place of bytes"),
    ],
)  # fmt: skip
def test_a_wrong_results_file_is_one_sentence(
    tmp_path: Path, text: str, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(MeasurementError, match=message) as raised:
        imported(tmp_path, text, **given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        (COOL_CHIC.partition("\n")[0], NAMED, "holds no point"),
        (COOL_CHIC.replace("0.510000", "nan"), NAMED, "rate_bpp holds 'nan' instead of a number"),
        (COOL_CHIC.replace("0.510000", "inf"), NAMED, "rate_bpp holds 'inf' instead of a number"),
        (COOL_CHIC + "0.02\n", NAMED, "line 6 has 1 cells, the first has 6"),
        (CODEC_EVAL.replace("b.png", "b" * 200_000), KODAK, "line 3: field larger than"),
        (CODEC_EVAL.replace(",34,70", ",34"), KODAK, "line 3 has 9 cells, the first has 10"),
        (CODEC_EVAL.replace("encode_ms", "codec"), KODAK, "column codec is there twice"),
        (CODEC_EVAL.replace("mozjpeg", "moz\x1bjpeg"), KODAK, r"'moz\\x1bjpeg' holds a control"),
        (COMPRESSAI.replace("0.95", "13.01"), KODAK, "13.01 of 'ms_ssim' is above 1: in decibels"),
        (COMPRESSAI.replace("ssim-rgb", "ssim-db-rgb").replace("0.95", "-1e9"), KODAK, "below 0"),
        (COMPRESSAI.replace("33.5", "1" + "0" * 400), KODAK, "psnr-rgb is not a list of numbers"),
        (COMPRESSAI.replace("[0.5, 0.2]", "[true, 0.2]"), KODAK, "bpp is not a list of numbers"),
        (COMPRESSAI.replace("{", '{"meta": "old", ', 1), KODAK, "`meta` is not an object"),
        (COMPRESSAI.replace("{", '{"meta": {"dataset": [1]}, ', 1), {}, "`meta` is not an object"),
        (AEIC.replace("0.7]", "12.3]"), {"codec": "A"}, "12.3 of 'ms_ssim_y' is above 1"),
        ("[" * 100_000, KODAK, "no known results file"),
    ],
)  # fmt: skip
def test_hostile_files_and_wrong_units_are_one_sentence(
    tmp_path: Path, text: str, given: dict[str, Any], message: str
) -> None:
    test_a_wrong_results_file_is_one_sentence(tmp_path, text, given, message)


def test_tables_of_spreadsheets_are_read(tmp_path: Path) -> None:
    """Quoted cells with commas, spaces after the commas, a byte order mark."""
    quoted = "\n".join(
        ",".join(f'"{cell}"' for cell in line.split(",")) for line in CODEC_EVAL.splitlines()
    ).replace("a.png", "a, b.png")
    for text in (quoted, CODEC_EVAL.replace(",", ", ", 8), "\ufeff" + CODEC_EVAL):
        assert imported(tmp_path, text, **KODAK) == imported(tmp_path, CODEC_EVAL, **KODAK)
    decibels = json.dumps({"name": "m", "results": {"bpp": [0.1], "my-ssim-db": [13.0]}})
    (point,) = imported(tmp_path, decibels, **KODAK)
    assert (point.metric, point.value) == ("my_ssim_db", 13.0)


def test_a_format_may_be_named(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="not Cool-Chic's TSV: no columns seq_name"):
        imported(tmp_path, COMPRESSAI, "cool-chic")
    with pytest.raises(MeasurementError, match="unknown format 'coolchic': did you mean"):
        imported(tmp_path, COMPRESSAI, "coolchic")


@needs(RD)
def test_real_files_are_imported(tmp_path: Path) -> None:
    for path, given, count in (
        (RD / "compressai/image/kodak/vtm.json", {"dataset": "kodak"}, 16),
        (RD / "compressai/image/kodak/paper-elic2022_mse.json", {}, 6),
        (RD / "cool_chic/v4.2/image-kodak.tsv", {"codec": "C", "dataset": "kodak"}, 5),
    ):
        _, points = importing.import_file(path, Given(path.name, **given))
        assert len(points) == count


def icmbench(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "icmbench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_commands(tmp_path: Path) -> None:
    (tmp_path / "vtm.json").write_text(COMPRESSAI)
    out = tmp_path / "vtm.csv"
    done = icmbench("import-results", tmp_path / "vtm.json", "--dataset", "kodak", "-o", out)
    assert done.stdout.endswith(
        "4 values of CompressAI's JSON: mbt2018-mean (ms-ssim); ms_ssim, psnr_rgb\n"
    )
    assert len(read_points(out)) == 4
    rows = agreeing([str(out)], {"mine": SetOfRun("kodak", {})}, ["psnr_rgb"])
    assert [(row["dataset"], row["codec"]) for row in rows] == [
        ("mine", "mbt2018-mean (ms-ssim)")
    ] * 2
    done = icmbench("import-results", tmp_path / "vtm.json", "-o", out)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    done = icmbench("published", "--dataset", "kodak", "--metric", "psnr_rgb")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("VTM  ")]
    assert re.search(r"VTM +kodak +psnr_rgb +8 +0\.0482 to 3\.6326 +real +InterDigitalInc/", line)
    assert "lpips" not in done.stdout
    done = icmbench("published", "--file", out)
    assert done.stdout.count("mbt2018-mean (ms-ssim)") == 2
    done = icmbench("published", "--dataset", "kodac")
    assert (done.returncode, "did you mean 'kodak'" in done.stderr) == (2, True)
