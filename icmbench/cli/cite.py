"""`icmbench cite`: BibTeX of what a run used."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from icmbench.cli.arguments import Sub, add_command
from icmbench.core.errors import ConfigError


def add_cite(sub: Sub) -> None:
    """Add the subcommand."""
    parser = add_command(
        sub,
        cite,
        "print BibTeX of the codecs, metrics, data sets and task models that a run used",
        "icmbench cite results > references.bib\n  icmbench cite    # all entries",
    )
    parser.add_argument("results", nargs="?", help="folder of a run; default: all that is known")


def cite(arguments: Namespace) -> None:
    """`icmbench cite [RESULTS]`."""
    from icmbench.reporting.citations.bibtex import bibtex, entries, uses

    if arguments.results is None:
        print("\n\n".join(entries().values()))
        return
    path = Path(arguments.results) / "provenance.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        found = uses(stored["config"], stored["unavailable"])
    except FileNotFoundError:
        text = "give the results folder of a finished run"
        raise ConfigError(f"{path}: no such file; {text}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: not the provenance of a run: {error!r}") from error
    print(bibtex(found), end="")
