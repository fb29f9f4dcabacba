"""The project's own promises: pins, layers, commands."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import ROOT, make_picture
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from icmbench import LAYERS
from icmbench.codecs.specs import parse_spec
from icmbench.core.images.image_files import write_png


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_every_dependency_is_pinned_once() -> None:
    run, dev = pins("requirements.lock"), pins("requirements-dev.lock")
    assert run.items() <= dev.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"]:
        requirement = Requirement(text)
        version = run[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), text
    assert sum(name.startswith("opencv") for name in run) <= 1


def test_layers_import_downwards_only() -> None:
    level = {name: index for index, name in enumerate((*LAYERS, "__main__"))}
    for path in (ROOT / "icmbench").rglob("*.py"):
        part = path.relative_to(ROOT / "icmbench").parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        assert part in level, f"{path}: a package of no layer"
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if name.startswith("icmbench."):
                    other = name.split(".")[1]
                    assert other == part or level[other] < level[part], f"{path}: {name}"
                assert not name.startswith("snakemake"), f"{path}: the library knows no Snakemake"


def icmbench(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "icmbench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_command_line_on_one_photo(tmp_path: Path) -> None:
    write_png(tmp_path / "in.png", make_picture(60, 90))
    done = icmbench("encode", tmp_path / "in.png", tmp_path / "a.webp", "--codec", "webp:quality=9")
    size = (tmp_path / "a.webp").stat().st_size
    assert f"{size} bytes, {8 * size / 5400:.4f} bpp" in done.stdout
    assert icmbench("decode", tmp_path / "a.webp", tmp_path / "out.png").returncode == 0
    done = icmbench(
        "compare", tmp_path / "in.png", tmp_path / "out.png", "--file", tmp_path / "a.webp",
        "--metrics", "psnr_rgb,ssim",
    )  # fmt: skip
    assert re.search(rf"bytes +{size}\nbpp +[\d.]+\npsnr_rgb +[\d.]+ dB\nssim +0\.\d+", done.stdout)
    icmbench("encode", tmp_path / "in.png", tmp_path / "a.icb", "--codec", "raw-test")
    assert "section 2" in icmbench("info", tmp_path / "a.icb").stdout
    done = icmbench("truncate", tmp_path / "a.icb", tmp_path / "b.icb", "--at", "planes=1")
    assert done.returncode == 0
    whole = (tmp_path / "a.icb").read_bytes()
    assert whole.startswith((tmp_path / "b.icb").read_bytes())
    limit = (tmp_path / "b.icb").stat().st_size
    icmbench("truncate", tmp_path / "a.icb", tmp_path / "c.icb", "--bytes", limit + 1)
    assert (tmp_path / "c.icb").stat().st_size == limit
    (tmp_path / "cut.icb").write_bytes(whole[: limit + 9])
    done = icmbench("decode", tmp_path / "cut.icb", tmp_path / "cut.png", "--best-effort")
    assert f"decoding what is whole: planes=1, {limit} bytes" in done.stdout
    assert (tmp_path / "cut.png").exists()
    for listing, text in (("codecs", "jpeg2000:"), ("metrics", "not available: ")):
        assert text in icmbench(listing).stdout


def test_command_line_errors(tmp_path: Path) -> None:
    """One line that names the file or the key, and an exit code of its own."""
    write_png(tmp_path / "in.png", make_picture(16, 16))
    (tmp_path / "text.png").write_text("hello")
    icmbench("encode", tmp_path / "in.png", tmp_path / "a.icb", "--codec", "raw-test")
    whole = (tmp_path / "a.icb").read_bytes()
    (tmp_path / "cut.icb").write_bytes(whole[:-1])
    (tmp_path / "bad.icb").write_bytes(whole[:30] + bytes([whole[30] ^ 1]) + whole[31:])
    (tmp_path / "model.icb").write_bytes(wrong_model(whole))
    (tmp_path / "id.icb").write_bytes(wrong_model(whole, codec_id=29))
    out, icb = tmp_path / "o.png", tmp_path / "o.icb"
    (tmp_path / "photo.jpg").write_bytes(jpeg_file())
    (tmp_path / "half.jpg").write_bytes(jpeg_file()[:-200])
    (tmp_path / "folder").mkdir()
    cases = [
        (("encode", tmp_path / "no.png", icb, "--codec", "raw-test"), 3, "no.png: no such file"),
        (("encode", tmp_path / "text.png", icb, "--codec", "raw-test"), 3, "text.png: not a PNG"),
        (("encode", tmp_path / "in.png", out, "--codec", "wepb:quality=1"), 2, "mean 'webp'"),
        (("encode", tmp_path / "in.png", out, "--codec", "webp:qality=1"), 2, "mean 'quality'"),
        (("decode", tmp_path / "cut.icb", out), 6, "cut.icb: the stream ends inside section 2"),
        (("decode", tmp_path / "bad.icb", out), 7, "bad.icb: the CRC-16 of section 0"),
        (("decode", tmp_path / "model.icb", out), 8, "model.icb: stream written with weights"),
        (("decode", tmp_path / "id.icb", out), 9, "no codec with id 29"),
        (("decode", tmp_path / "in.png", out, "--set", "steps=8"), 2, "not a decode key"),
        (("truncate", tmp_path / "photo.jpg", out, "--bytes", "9"), 2, "not an embedded codec"),
        (("compare", tmp_path / "in.png", tmp_path / "text.png"), 3, "text.png"),
        (("compare", out, out, "--metrics", "psnr"), 3, "o.png: no such file"),
        (("compare", *[tmp_path / "in.png"] * 2, "--metrics", "psnr"), 2, "mean 'psnr_"),
        (("compare", *[tmp_path / "in.png"] * 2, "--metrics", "lpips"), 4, "alexnet"),
        (("decode", tmp_path / "half.jpg", out), 6, "half.jpg: the JPEG decoder refuses"),
        (("decode", tmp_path / "photo.jpg", tmp_path / "o.jpg"), 2, "written as PNG"),
        (("encode", tmp_path / "in.png", out, "--codec", "webp:quality=1"), 2, "not a .png"),
        (("encode", *[tmp_path / "in.png"] * 2, "--codec", "identity"), 2, "replace the input"),
        (("encode", tmp_path / "in.png", tmp_path / "folder", "--codec", "identity"), 3, "folder:"),
        (
            ("encode", tmp_path / "in.png", "/dev/full", "--codec", "identity"),
            3,
            "/dev/full: is not",
        ),
    ]
    for arguments, code, message in cases:
        done = icmbench(*arguments)
        assert done.returncode == code, (arguments, done.stderr)
        assert message in done.stderr, (arguments, done.stderr)
        assert done.stderr.count("\n") == 1, done.stderr
        assert not out.exists()


def jpeg_file() -> bytes:
    return parse_spec("jpeg:quality=50").codec().encode(make_picture(40, 40), quality=50)


def wrong_model(stream: bytes, codec_id: int | None = None) -> bytes:
    from icmbench.bitstream import container

    parsed = container.parse(stream)
    old = parsed.header
    digest = b"none" if codec_id is None else old.weights_digest
    header = container.Header(codec_id or old.codec_id, digest, old.width, old.height)
    return container.pack(header, parsed.sections)


def test_help_has_examples() -> None:
    for command in ("encode", "truncate", "decode", "info", "codecs", "metrics", "compare"):
        assert f"icmbench {command}" in icmbench(command, "--help").stdout.split("examples:")[1]


@pytest.mark.parametrize(
    ("python", "message"),
    [("no-such-python", "is not installed: install Python 3.11"), ("old-python", "is too old")],
)
def test_bootstrap_says_what_is_missing(tmp_path: Path, python: str, message: str) -> None:
    """One sentence, before anything is created."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    old = tmp_path / "old-python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2"\nexit 1\n')
    old.chmod(0o755)
    done = subprocess.run(
        ["tools/bootstrap.sh"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHON": python},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / ".venv").exists()
