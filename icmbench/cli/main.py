"""`icmbench`: the arguments, the exit codes, and one function per subcommand in `commands`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import icmbench
from icmbench.cli import (
    cite,
    commands,
    doctor,
    encode,
    export,
    faces,
    fetch,
    importing,
    published,
    rates,
    transfer,
)
from icmbench.cli.arguments import Sub, add_command, add_models, positive, written
from icmbench.core.errors import IcmbenchError
from icmbench.core.processes import collect_rarely, end_quickly, print_any_text

EPILOG = """examples:
  icmbench encode photo.png photo.webp --codec webp:quality=20
  icmbench encode photo.png small.avif --codec avif:quality=10,scale=0.5
  icmbench encode photo.png photo.icb --codec mpd --bytes 2000
  icmbench encode photo.png photo.avif --codec avif --target ssimulacra2=70
  icmbench decode small.avif decoded.png
  icmbench compare photo.png decoded.png --file small.avif
  icmbench info small.avif
  icmbench codecs
  icmbench bd-rate results/tables/rd.csv --points 'avif:quality=*' --anchor avif
  icmbench published --dataset kodak --metric psnr_rgb
  icmbench fetch --list
  icmbench export codec-compare results -o codec-compare
  icmbench pack results --out streams.tar

exit codes: 0 done, 1 other error, 2 wrong codec, key or argument, 3 file missing or not an image,
4 cannot be measured or packed, 5 cannot be coded, 6 truncated stream, 7 altered stream,
8 wrong model, 9 unknown stream version or codec, 10 symbols differ from the encoder's,
11 damaged model folder
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; errors of the library become one line and their exit code."""
    print_any_text()
    arguments = _parser().parse_args(argv)
    collect_rarely()
    end_quickly()
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except IcmbenchError as error:
        print(f"icmbench: error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `icmbench codecs | head` is not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"icmbench: error: {where}{error.strerror or error}", file=sys.stderr)
        return 3
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="icmbench",
        description="Code, decode, cut and compare images with any codec of the benchmark.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"icmbench {icmbench.__version__}")
    commands_of = parser.add_subparsers(required=True, metavar="COMMAND")
    encode.add_encode(commands_of)
    _truncate(commands_of)
    _decode(commands_of)
    _info(commands_of)
    text = "list the codecs, their keys and settings"
    add_command(commands_of, commands.codecs, text, "icmbench codecs")
    text = "list the kinds of task models and their options"
    add_command(commands_of, commands.tasks, text, "icmbench tasks")
    _metrics(commands_of)
    _compare(commands_of)
    rates.add_bd_rate(commands_of)
    published.add_published(commands_of)
    faces.add_crop_faces(commands_of)
    fetch.add_fetch(commands_of)
    importing.add_imports(commands_of)
    export.add_export(commands_of)
    cite.add_cite(commands_of)
    doctor.add_doctor(commands_of)
    transfer.add_share(commands_of)
    transfer.add_pack(commands_of)
    transfer.add_unpack(commands_of)
    transfer.add_verify(commands_of)
    return parser


def _truncate(sub: Sub) -> None:
    parser = add_command(
        sub,
        commands.truncate,
        "cut an embedded stream to fewer bytes without coding again",
        "icmbench truncate photo.icb green.icb --at planes=1\n"
        "  icmbench truncate photo.icb small.icb --bytes 2000",
    )
    parser.add_argument("stream", help="a file of an embedded codec")
    parser.add_argument("output", type=written, help="the shorter file")
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--at", metavar="KEYS", help="cut keys of the codec, e.g. planes=1")
    group.add_argument("--state", type=int, help="the same as --at state=N")
    group.add_argument(
        "--bytes", type=positive, help="the longest legal file of at most so many bytes"
    )
    add_models(parser)


def _decode(sub: Sub) -> None:
    parser = add_command(
        sub,
        commands.decode,
        "decode a file to PNG; the codec is recognised by the file's content",
        "icmbench decode photo.webp decoded.png\n"
        "  icmbench decode damaged.icb decoded.png --best-effort",
    )
    parser.add_argument("stream", help="the coded file")
    parser.add_argument("output", type=written, help="PNG")
    parser.add_argument("--set", metavar="KEYS", default="", help="decode keys, e.g. steps=8")
    parser.add_argument(
        "--best-effort",
        action="store_true",
        help="decode what is whole of a damaged embedded stream, and say what that is",
    )
    _add_codec(parser)
    parser.add_argument("--decoder", help="the same as --set decoder=NAME")
    add_models(parser)


def _info(sub: Sub) -> None:
    parser = add_command(
        sub, commands.info, "say what a coded file holds, byte by byte", "icmbench info photo.icb"
    )
    parser.add_argument("stream", help="the coded file")
    _add_codec(parser)
    add_models(parser)


def _add_codec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--codec",
        metavar="NAME",
        default="",
        help="the codec, where the content does not tell: that of a program of `icmbench codecs`",
    )


def _metrics(sub: Sub) -> None:
    parser = add_command(
        sub, commands.metrics, "list the metrics and how they are computed", "icmbench metrics"
    )
    parser.add_argument("--weights", metavar="DIR", help="folder with the weights of LPIPS, DISTS")


def _compare(sub: Sub) -> None:
    parser = add_command(
        sub,
        commands.compare,
        "measure one image against another, with every metric that can be computed",
        "icmbench compare photo.png decoded.png\n"
        "  icmbench compare photo.png decoded.png --file photo.webp",
    )
    parser.add_argument("original", help="the original image")
    parser.add_argument("image", help="the decoded image")
    parser.add_argument("--file", help="the coded file, for bits per pixel of its size")
    parser.add_argument("--metrics", help="comma-separated names; default: all")
    parser.add_argument("--weights", metavar="DIR", help="folder with the weights of LPIPS, DISTS")
