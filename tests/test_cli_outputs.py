"""Outputs of the command line: names that would mislead, limits that are none, conversions."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from conftest import make_picture

from icmbench.cli import main
from icmbench.core.images.image_files import write_png


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_png(tmp_path / "in.png", make_picture(16, 24))


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command says that ends with the exit code of wrong arguments."""
    before = sorted(Path().rglob("*"))
    try:
        code = main(arguments)
    except SystemExit as end:  # argparse's own
        code = end.code
    assert code == 2
    assert sorted(Path().rglob("*")) == before
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("encode", "in.png", "-", "--codec", "webp:quality=20"),
        ("truncate", "in.icb", "-", "--state", "3"),
        ("decode", "in.webp", "-"),
        ("pack", "results", "--out", "-"),
        ("unpack", "s.tar", "--to", "-"),
        ("import-diff-icmh", "m.ckpt", "--out", "-"),
    ],
)
def test_standard_output_is_no_file(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "not standard output" in refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("codec", "suffixes"),
    [
        ("webp:quality=20", "tif tiff gif bmp jpe jpg jfif png avif j2k icb ppm TIF ico"),
        ("jpeg:quality=20", "png webp tif heif jp2"),
        ("raw-test", "png webp jxl"),
    ],
)
def test_names_of_other_formats(
    codec: str, suffixes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in suffixes.split():
        message = refused(capsys, "encode", "in.png", f"x.{suffix}", "--codec", codec)
        assert f"is not a .{suffix.lower()}; try ." in message


@pytest.mark.parametrize(
    ("codec", "suffixes"),
    [
        ("webp:quality=20", "webp WEBP bin dat"),
        ("jpeg:quality=20", "jpg jpeg jpe jfif JPG"),
        ("jpeg2000:ratio=20", "j2k jp2 j2c jpc"),
    ],
)
def test_names_of_the_format(codec: str, suffixes: str) -> None:
    for suffix in suffixes.split():
        assert main(["encode", "in.png", f"x.{suffix}", "--codec", codec]) == 0
        assert Path(f"x.{suffix}").stat().st_size
    assert main(["encode", "in.png", "name", "--codec", codec]) == 0
    assert main(["encode", "in.png", "./-", "--codec", codec]) == 0


@pytest.mark.parametrize("limit", ["0", "-5", "1e3", "much"])
@pytest.mark.parametrize("command", ["encode", "truncate"])
def test_limits_that_are_none(command: str, limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("--codec", "mpd") if command == "encode" else ()
    message = refused(capsys, command, "in.png", "out.icb", *more, "--bytes", limit)
    assert "--bytes" in message
    assert limit in message


def test_compare_tells_what_it_converts(capsys: pytest.CaptureFixture[str]) -> None:
    deep = make_picture(16, 24).astype(np.uint16) * 257
    for name, pixels in (("a.png", deep), ("b.png", deep + 100)):
        Path(name).write_bytes(imagecodecs.png_encode(pixels))
    clear = np.dstack([make_picture(16, 24), np.zeros((16, 24), np.uint8)])
    Path("clear.png").write_bytes(imagecodecs.png_encode(clear))
    assert main(["compare", "a.png", "b.png", "--metrics", "psnr_rgb"]) == 0
    out = capsys.readouterr().out
    assert "a.png: 16-bit rounded to 8" in out
    assert "b.png: 16-bit rounded to 8" in out
    assert main(["compare", "in.png", "clear.png", "--metrics", "psnr_rgb"]) == 0
    out = capsys.readouterr().out
    assert "clear.png: transparency laid on white" in out
    assert "in.png" not in out
