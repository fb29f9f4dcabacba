"""Programs for tests: one that calls Pillow, and stand-ins that take the options of real ones.

A stand-in for an encoder keeps the samples of its input in a file of its own form, one for a
decoder writes them as the real one would.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

# Encoder and decoder through Pillow: `pillow.py enc IN OUT FORMAT QUALITY`, `pillow.py dec IN OUT`.
PILLOW = """
import sys
from PIL import Image
do, source, target, *rest = sys.argv[1:]
image = Image.open(source)
if do == "enc":
    kind, quality = rest
    more = {"WEBP": {"method": 6}, "JPEG": {"optimize": True, "progressive": True}}[kind]
    image.save(target, kind, quality=int(quality), **more)
else:
    image.save(target)
"""
# Options of the real programs: name -> (those with a value, those without, words in front).
ENCODERS: dict[str, tuple[str, str]] = {
    "EncoderAppStatic": (
        "-c -i -wdt -hgt -fr -f -q --InputBitDepth --InternalBitDepth --InputChromaFormat "
        "--ConformanceWindowMode --SEIDecodedPictureHash -b -o",
        "",
    ),
    "vvencapp": ("-i -s -c -r -f -ip --preset --qp --qpa -t -o", ""),
    "uvg266": (
        "--input --input-res --input-file-format --input-format --input-bitdepth --frames --period "
        "--gop --preset --qp --hash --output",
        "--no-info --no-psnr",
    ),
    "bpgenc": ("-m -e -f -c -b -q -o", ""),
}
DECODERS: dict[str, tuple[str, str]] = {
    "DecoderAppStatic": ("-b -o -d", ""),
    "vvdecapp": ("-b -o -t", "--y4m"),
    "bpgdec": ("-o", ""),
}
STUB = """#!{python}
import argparse, pickle, re, sys, zlib
from pathlib import Path
if set(sys.argv[1:]) & {{"--version", "--help", "-h"}}:
    sys.exit(print("{name} stub version 1.2 VTM"))
parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
for option in "{valued}".split():
    parser.add_argument(option, dest=option.strip("-"), required=True)
for option in "{plain}".split():
    parser.add_argument(option, required=True, action="store_true", dest=option.strip("-"))
parser.add_argument("files", nargs="*")
given = vars(parser.parse_args())
first = lambda *names: next((given[name] for name in names if name in given), None)
{body}
"""
ENCODE = """
source = first("i", "input") or given["files"][0]
target = given["o"] if "{name}" == "bpgenc" else first("b", "o", "output")
size = first("s", "input-res") or f"{given.get('wdt', 0)}x{given.get('hgt', 0)}"
data = Path(source).read_bytes()
Path(target).write_bytes(b"stub" + zlib.compress(pickle.dumps((size, data)), 9))
"""
DECODE = """
source, target = first("b") or given["files"][0], given["o"]
size, data = pickle.loads(zlib.decompress(Path(source).read_bytes()[4:]))
width, height = map(int, size.split("x"))
deep = 2 if len(data) > width * height * 2 else 1
head = f"YUV4MPEG2 W{width} H{height} F1:1 Ip C420{'p10' if deep == 2 else 'jpeg'}\\nFRAME\\n"
Path(target).write_bytes((head.encode() if target.endswith("y4m") else b"") + data)
"""
# `python -m src.reco.coders.encoder IN OUT …`, in its checkout.
JPEG_AI_ENCODER = """
import argparse, zlib
from pathlib import Path
parser = argparse.ArgumentParser()
parser.add_argument("input"); parser.add_argument("output")
parser.add_argument("--set_target_bpp", type=int, required=True)
parser.add_argument("--cfg", nargs="+", required=True)
given = parser.parse_args()
assert all(Path(path).is_file() for path in given.cfg)
Path(given.output).write_bytes(zlib.compress(Path(given.input).read_bytes()))
"""
JPEG_AI_DECODER = """
import argparse, zlib
from pathlib import Path
parser = argparse.ArgumentParser()
parser.add_argument("input"); parser.add_argument("output")
parser.add_argument("--device", choices=["cpu", "gpu"], required=True)
given = parser.parse_args()
Path(given.output).write_bytes(zlib.decompress(Path(given.input).read_bytes()))
"""
COOL_CHIC = """
import argparse, os, zlib
from pathlib import Path
import coolchic_part  # beside the script, as its package is
parser = argparse.ArgumentParser()
parser.add_argument("--input", required=True); parser.add_argument("--output", required=True)
for option in {options}: parser.add_argument(option, required=True)
given = parser.parse_args()
{change}
data = Path(given.input).read_bytes()
Path(given.output).write_bytes(zlib.{how}(data))
"""


def write_program(path: Path, text: str) -> Path:
    """An executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def pillow_entry(folder: Path, kind: str = "WEBP", **more: Any) -> dict[str, Any]:
    """A codec entry that calls Pillow in processes of its own."""
    script = folder / "pillow.py"
    script.write_text(PILLOW, encoding="utf-8")
    run = f"{sys.executable} {script}"
    return {
        "codec": "command",
        "encode": f"{run} enc {{input}} {{output}} {kind} {{quality}}",
        "decode": f"{run} dec {{input}} {{output}}",
        "keys": {"quality": {"type": "int", "low": 0, "high": 100}},
        "points": [{"quality": [20]}],
        **more,
    }


def write_stubs(folder: Path) -> dict[str, str]:
    """Stand-ins for all programs that Debian lacks; environment variables that lead to them."""
    for names, body in ((ENCODERS, ENCODE), (DECODERS, DECODE)):
        for name, (valued, plain) in names.items():
            text = STUB.format(
                python=sys.executable,
                name=name,
                valued=valued,
                plain=plain,
                body=body.replace("{name}", name),
            )
            home = folder / "vtm" / "bin" if name.endswith("Static") else folder / "bin"
            write_program(home / name, text)
    for path in (
        "vtm/cfg/encoder_intra_vtm.cfg",
        "ai/cfg/tools_on.json",
        "ai/cfg/profiles/main.json",
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    write_program(folder / "ai/src/reco/coders/encoder.py", JPEG_AI_ENCODER)
    write_program(folder / "ai/src/reco/coders/decoder.py", JPEG_AI_DECODER)
    options = ["--workdir", "--dec_cfg_residue", "--lmbda", "--n_itr"]
    change = "os.chdir(given.workdir)"
    encoder = COOL_CHIC.format(options=options, change=change, how="compress")
    write_program(folder / "cool/cc_encode.py", encoder)
    write_program(
        folder / "cool/cc_decode.py", COOL_CHIC.format(options=[], change="", how="decompress")
    )
    (folder / "cool/coolchic_part.py").touch()
    return {
        "VTM_HOME": str(folder / "vtm"),
        "JPEG_AI_HOME": str(folder / "ai"),
        "JPEG_AI_PYTHON": sys.executable,
        "COOL_CHIC_HOME": str(folder / "cool"),
        "COOL_CHIC_PYTHON": sys.executable,
    }
