"""`icmbench`: the arguments, the exit codes, and one function per subcommand in `commands`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TypeAlias

import icmbench
from icmbench.cli import commands, faces, rates
from icmbench.cli import transfer as elsewhere
from icmbench.core.errors import IcmbenchError
from icmbench.core.processes import end_quickly, print_any_text

EPILOG = """examples:
  icmbench encode photo.png photo.webp --codec webp:quality=20
  icmbench encode photo.png small.avif --codec avif:quality=10,scale=0.5
  icmbench encode photo.png photo.icb --codec mpd --bytes 2000
  icmbench decode small.avif decoded.png
  icmbench compare photo.png decoded.png --file small.avif
  icmbench info small.avif
  icmbench codecs
  icmbench bd-rate results/tables/rd.csv --points 'avif:quality=*' --anchor avif
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
    _encode(commands_of)
    _truncate(commands_of)
    _decode(commands_of)
    _info(commands_of)
    _codecs(commands_of)
    _tasks(commands_of)
    _metrics(commands_of)
    _compare(commands_of)
    _bd_rate(commands_of)
    _crop_faces(commands_of)
    _import(commands_of)
    _pack(commands_of)
    _unpack(commands_of)
    _verify(commands_of)
    return parser


# Only a type checker may subscript it.
Sub: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add(sub: Sub, name: str, help_text: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = sub.add_parser(
        name,
        help=help_text,
        description=help_text[0].upper() + help_text[1:] + ".",
        epilog="examples:\n  " + example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def _models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", metavar="DIR", help="folder of trained weights")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="default: cpu")


def _positive(text: str) -> int:
    """A number of bytes from 1; argparse names the option in its error."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: no file is that short; give 1 or more")
    return number


_positive.__name__ = "whole number"  # in argparse's errors


def _written(text: str) -> str:
    """The name of what is written: no standard output."""
    if text in ("", "-"):
        raise argparse.ArgumentTypeError(
            f"{text!r}: files are written, not standard output; name one (./- is one, too)"
        )
    return text


def _encode(sub: Sub) -> None:
    parser = _add(
        sub,
        "encode",
        "code an image and print the size of the file",
        "icmbench encode photo.png photo.webp --codec webp:quality=20\n"
        "  icmbench encode photo.png photo.jxl --codec jxl:distance=3,scale=0.5\n"
        "  icmbench encode photo.png photo.icb --codec mpd --bytes 2000",
    )
    parser.add_argument("image", help="PNG, JPEG, WebP or TIFF")
    parser.add_argument("output", type=_written, help="the coded file")
    parser.add_argument("--codec", required=True, help="codec string, e.g. webp:quality=20")
    parser.add_argument(
        "--bytes", type=_positive, help="the best file of at most so many bytes (embedded codecs)"
    )
    _models(parser)
    parser.set_defaults(run=commands.encode)


def _truncate(sub: Sub) -> None:
    parser = _add(
        sub,
        "truncate",
        "cut an embedded stream to fewer bytes without coding again",
        "icmbench truncate photo.icb green.icb --at planes=1\n"
        "  icmbench truncate photo.icb small.icb --bytes 2000",
    )
    parser.add_argument("stream", help="a file of an embedded codec")
    parser.add_argument("output", type=_written, help="the shorter file")
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--at", metavar="KEYS", help="cut keys of the codec, e.g. planes=1")
    group.add_argument("--state", type=int, help="the same as --at state=N")
    group.add_argument(
        "--bytes", type=_positive, help="the longest legal file of at most so many bytes"
    )
    _models(parser)
    parser.set_defaults(run=commands.truncate)


def _decode(sub: Sub) -> None:
    parser = _add(
        sub,
        "decode",
        "decode a file to PNG; the codec is recognised by the file's content",
        "icmbench decode photo.webp decoded.png\n"
        "  icmbench decode damaged.icb decoded.png --best-effort",
    )
    parser.add_argument("stream", help="the coded file")
    parser.add_argument("output", type=_written, help="PNG")
    parser.add_argument("--set", metavar="KEYS", default="", help="decode keys, e.g. steps=8")
    parser.add_argument(
        "--best-effort",
        action="store_true",
        help="decode what is whole of a damaged embedded stream, and say what that is",
    )
    parser.add_argument("--decoder", help="the same as --set decoder=NAME")
    _models(parser)
    parser.set_defaults(run=commands.decode)


def _info(sub: Sub) -> None:
    parser = _add(
        sub, "info", "say what a coded file holds, byte by byte", "icmbench info photo.icb"
    )
    parser.add_argument("stream", help="the coded file")
    _models(parser)
    parser.set_defaults(run=commands.info)


def _codecs(sub: Sub) -> None:
    parser = _add(sub, "codecs", "list the codecs, their keys and settings", "icmbench codecs")
    parser.set_defaults(run=commands.codecs)


def _tasks(sub: Sub) -> None:
    parser = _add(sub, "tasks", "list the kinds of task models and their options", "icmbench tasks")
    parser.set_defaults(run=commands.tasks)


def _metrics(sub: Sub) -> None:
    parser = _add(sub, "metrics", "list the metrics and how they are computed", "icmbench metrics")
    parser.add_argument("--weights", metavar="DIR", help="folder with the weights of LPIPS, DISTS")
    parser.set_defaults(run=commands.metrics)


def _compare(sub: Sub) -> None:
    parser = _add(
        sub,
        "compare",
        "measure one image against another, with every metric that can be computed",
        "icmbench compare photo.png decoded.png\n"
        "  icmbench compare photo.png decoded.png --file photo.webp",
    )
    parser.add_argument("original", help="the original image")
    parser.add_argument("image", help="the decoded image")
    parser.add_argument("--file", help="the coded file, for bits per pixel of its size")
    parser.add_argument("--metrics", help="comma-separated names; default: all")
    parser.add_argument("--weights", metavar="DIR", help="folder with the weights of LPIPS, DISTS")
    parser.set_defaults(run=commands.compare)


def _crop_faces(sub: Sub) -> None:
    parser = _add(
        sub,
        "crop-faces",
        "cut annotated faces out of images, their 68 points moved along",
        "icmbench crop-faces helen/testset data/helen\n"
        "  icmbench crop-faces photos faces --landmarks photos/points.json --size 512",
    )
    parser.add_argument("images", help="folder of images, with .pts files beside them")
    parser.add_argument("out", help="folder that is made: PNG files and landmarks68.json")
    parser.add_argument("--landmarks", metavar="JSON", help="points of all images, instead of .pts")
    parser.add_argument("--size", type=int, default=256, help="side in pixels; default: 256")
    parser.add_argument(
        "--scale",
        type=float,
        default=1.5,
        help="side of what is cut out, in larger extents of the points; default: 1.5",
    )
    parser.add_argument(
        "--offset",
        type=float,
        help="added to every coordinate; default: 0.5 for JSON (from 0), -0.5 for .pts (from 1)",
    )
    parser.set_defaults(run=faces.crop_faces)


def _bd_rate(sub: Sub) -> None:
    parser = _add(
        sub,
        "bd-rate",
        "compute BD-rates from a run's rd.csv over a subset of its points",
        "icmbench bd-rate results/tables/rd.csv --anchor avif\n"
        "  icmbench bd-rate rd.csv --anchor avif --points 'avif:quality=*' --metrics ssim,gmsd\n"
        "  icmbench bd-rate rd.csv --anchor avif --points 'mpd:state=[4-7]' mpd 'avif:*scale=0.5'",
    )
    parser.add_argument("table", help="rd.csv of a run: results/tables/rd.csv")
    parser.add_argument(
        "--points",
        nargs="+",
        default=[],
        metavar="POINT",
        help="codec strings as in the table, or patterns with * ? [...] (in quotes); of a family "
        "with a named point only the named ones count, the other families keep all",
    )
    parser.add_argument(
        "--anchor", nargs="+", required=True, metavar="FAMILY", help="curves to compare with"
    )
    parser.add_argument("--metrics", help="comma-separated columns; default: all of the table")
    parser.add_argument("--dataset", help="one data set; default: all of the table")
    parser.add_argument(
        "--min-overlap",
        type=float,
        default=0.25,
        help="no value where the curves share less of their quality range; default: 0.25",
    )
    parser.add_argument("--out", metavar="CSV", help="write the rates, as fractions, here too")
    parser.set_defaults(run=rates.bd_rate)


def _import(sub: Sub) -> None:
    parser = _add(
        sub,
        "import-diff-icmh",
        "convert a published checkpoint of Diff-ICMH to a folder that the codec diff-icmh loads",
        "icmbench import-diff-icmh model.ckpt --out models/diff-icmh --base v2-1.ckpt \\\n"
        "      --tokenizer stable-diffusion-2-1-base/tokenizer --tags ram_tag_list.txt\n"
        "  icmbench encode photo.png photo.icb --codec diff-icmh:rate=1 --models models\n\n"
        "Without --tokenizer and --tags, put vocab.json and merges.txt into OUT/tokenizer and the\n"
        "names of the tags, one a line, into OUT/tags.txt.",
    )
    parser.add_argument("checkpoint", help=".ckpt, .pt or .safetensors with the published names")
    parser.add_argument(
        "--out", type=_written, required=True, metavar="DIR", help="the folder to make"
    )
    parser.add_argument(
        "--base", metavar="FILE", help="Stable Diffusion 2.1, for what the checkpoint lacks"
    )
    parser.add_argument(
        "--tokenizer",
        metavar="DIR",
        help="vocab.json and merges.txt of Stable Diffusion 2.1: checked and copied",
    )
    parser.add_argument(
        "--tags", metavar="FILE", help="the names of the tags, one a line: checked and copied"
    )
    parser.add_argument(
        "--head-width", type=int, default=64, help="of the prior's attention; default: 64"
    )
    parser.add_argument(
        "--control-head-width", type=int, default=16, help="of the control network's; default: 16"
    )
    parser.set_defaults(run=commands.import_diff_icmh)


def _pack(sub: Sub) -> None:
    parser = _add(
        sub,
        "pack",
        "pack the streams and models of a run, to be decoded on another machine",
        "icmbench pack results --out streams.tar\n"
        "  icmbench pack results --out streams.tar --dataset photos --codec mpd --codec webp",
    )
    parser.add_argument("results", help="the folder of a finished run")
    parser.add_argument(
        "--out", type=_written, required=True, metavar="FILE", help="the tar to write"
    )
    for what, of in (("dataset", "data set"), ("codec", "codec entry")):
        parser.add_argument(
            f"--{what}", action="append", default=[], metavar="NAME", help=f"only this {of}; repeat"
        )
    parser.set_defaults(run=elsewhere.pack)


def _unpack(sub: Sub) -> None:
    parser = _add(
        sub,
        "unpack",
        "unpack what `icmbench pack` packed, ready to be decoded",
        "icmbench unpack streams.tar --to streams\n"
        "  snakemake --cores all --configfile streams/config.yaml",
    )
    parser.add_argument("file", help="a file of `icmbench pack`")
    parser.add_argument("--to", type=_written, required=True, metavar="FOLDER", help="a new folder")
    parser.set_defaults(run=elsewhere.unpack)


def _verify(sub: Sub) -> None:
    parser = _add(
        sub,
        "verify",
        "compare what another machine decoded with what this run decoded",
        "icmbench verify results decoded.tar --name laptop",
    )
    parser.add_argument("results", help="the folder of the run that was packed")
    parser.add_argument("returned", help="the decoded.tar that the other machine made")
    parser.add_argument("--name", required=True, help="of the other machine, for the tables")
    parser.set_defaults(run=elsewhere.verify)


if __name__ == "__main__":
    sys.exit(main())
