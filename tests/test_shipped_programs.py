"""Shipped definitions: Debian's programs where they are installed, stand-ins for the others."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import make_picture
from stub_programs import write_stubs

from icmbench.cli import main
from icmbench.codecs import registry
from icmbench.codecs.external.definitions import shipped, shipped_names
from icmbench.codecs.registry import codec_class
from icmbench.codecs.specs import parse_spec
from icmbench.core.errors import ConfigError
from icmbench.core.images.image_files import read_image, write_png

DEBIAN = {
    "aomenc": ("quality", 20, 50), "cjxl": ("distance", 1, 6), "guetzli": ("quality", 95, 84),
    "heif-enc": ("quality", 70, 20), "opj": ("ratio", 10, 60), "svtav1enc": ("crf", 20, 50),
    "x265": ("qp", 20, 40),
}  # fmt: skip
STUBBED = {
    "vtm": "qp=32", "vvenc": "qp=32", "uvg266": "qp=22", "bpg": "qp=28", "jpeg-ai": "rate=50",
    "cool-chic": "lmbda=0.001",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_DEFINED", {})


def test_shipped_definitions_are_found_by_name() -> None:
    assert {*DEBIAN, *STUBBED} == {*shipped_names()}
    for name in shipped_names():
        codec = codec_class(name)
        assert codec.name == name
        assert codec.definition == shipped(name)
        assert codec.definition["source"].startswith("https://")
        assert codec.settings
        assert codec.rate_key in codec.encode_keys
        assert codec.encode_keys[codec.rate_key].default is None
    assert parse_spec("vtm:qp=32").spec == "vtm:qp=32"
    with pytest.raises(ConfigError, match="a whole number from 0 to 63"):
        parse_spec("vtm:qp=64")


@pytest.mark.parametrize("name", DEBIAN)
def test_programs_of_debian(name: str) -> None:
    """Real ones where they are installed: an odd size, a good and a poor point."""
    codec = codec_class(name)()
    if reason := codec.unavailable():
        assert "; Debian has it in the package" in reason
        pytest.skip(reason)
    picture = make_picture(65, 83)
    key, good, poor = DEBIAN[name]
    found = []
    for value in (good, poor):
        point = parse_spec(f"{name}:{key}={value}")
        stream = codec.encode(picture, **dict(point.encode))
        decoded = codec.decode(stream)
        assert decoded.shape == picture.shape
        assert codec.decode(stream).tobytes() == decoded.tobytes()
        found.append((len(stream), np.mean((decoded.astype(float) - picture) ** 2)))
    assert found[0][0] > found[1][0]
    assert found[0][1] < found[1][1] < 1500
    assert "no version" not in codec.state()


@pytest.mark.parametrize("name", STUBBED)
def test_programs_beyond_debian_by_their_options(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stand-ins refuse an option that the real program does not have, or lacks one."""
    if codec_class(name).unavailable() == "":
        pytest.skip("the real program is here")
    for variable, value in write_stubs(tmp_path).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    codec = codec_class(name)()
    assert codec.unavailable() == ""
    picture = make_picture(65, 83)
    point = parse_spec(f"{name}:{STUBBED[name]}")
    decoded = codec.decode(codec.encode(picture, **dict(point.encode)))
    assert decoded.shape == picture.shape
    exact = codec.commands.input.kind == "png" or codec.commands.input.bits == 10
    halved = codec.commands.input.halved
    assert np.abs(decoded.astype(int) - picture).mean() < (6 if halved else 0.1 if exact else 1)


def test_the_command_line_lists_and_runs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file with a header says so, and is decoded by the name of its codec."""
    for variable, value in write_stubs(tmp_path).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("JPEG_AI_HOME")
    monkeypatch.chdir(tmp_path)
    assert main(["codecs"]) == 0
    listed = capfd.readouterr().out
    names = re.findall(r"^([a-z0-9-]+): ", listed, re.M)
    assert {*shipped_names(), "webp", "mpd"} <= {*names}
    assert names == sorted(names)
    assert "    not available: set the environment variable JPEG_AI_HOME" in listed
    write_png(tmp_path / "in.png", make_picture(33, 44))
    assert main(["encode", "in.png", "out.bin", "--codec", "vtm:qp=32"]) == 0
    said = capfd.readouterr().out
    assert "out.bin: vtm:qp=32, " in said
    assert "only icmbench can decode this file" in said
    assert main(["decode", "out.bin", "out.png", "--codec", "vtm"]) == 0
    assert read_image(tmp_path / "out.png")[0].shape == (33, 44, 3)
    capfd.readouterr()
    assert main(["info", "out.bin", "--codec", "vtm"]) == 0
    told = " ".join(capfd.readouterr().out.split())
    assert f"bytes {Path('out.bin').stat().st_size} image 44x33" in told  # with the header
    assert main(["decode", "out.bin", "out.png"]) == 7
    assert "`icmbench decode --codec` takes its name" in capfd.readouterr().err
