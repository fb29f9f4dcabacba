"""Parts that the parsers of the subcommands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

# Only a type checker may subscript it.
Sub: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    sub: Sub, run: Callable[[argparse.Namespace], None], help_text: str, example: str
) -> argparse.ArgumentParser:
    """Add the subcommand that a function is named after and that calls it."""
    parser: argparse.ArgumentParser = sub.add_parser(
        run.__name__.replace("_", "-"),
        help=help_text,
        description=help_text[0].upper() + help_text[1:] + ".",
        epilog="examples:\n  " + example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def positive(text: str) -> int:
    """A number of bytes from 1; argparse names the option in its error."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: no file is that short; give 1 or more")
    return number


positive.__name__ = "whole number"  # in argparse's errors


def written(text: str) -> str:
    """Path of an output file; standard output is refused."""
    if text in ("", "-"):
        raise argparse.ArgumentTypeError(
            f"{text!r}: files are written, not standard output; name one (./- is one, too)"
        )
    return text


def path_if_given(text: str | None) -> Path | None:
    """The path of an optional argument."""
    return Path(text) if text else None


def add_models(parser: argparse.ArgumentParser) -> None:
    """Add the options of `load_codec`."""
    parser.add_argument("--models", metavar="DIR", help="folder of trained weights")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="default: cpu")
