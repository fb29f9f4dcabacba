"""Command templates: words of a command line, without a shell, with placeholders in braces."""

from __future__ import annotations

import os
import re
import shlex
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from icmbench.core.errors import ConfigError
from icmbench.core.suggest import unknown

Steps = tuple[tuple[str, ...], ...]
RUN: Final = ("input", "output", "width", "height", "threads", "tmp")  # given anew in every run
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")


def parse_steps(what: str, commands: str | Sequence[str]) -> Steps:
    """The words of one command, or of several.

    Raises ConfigError, naming `what`, for quotes or braces that do not close.
    """
    steps = []
    for command in [commands] if isinstance(commands, str) else commands:
        try:
            words = tuple(shlex.split(command))
            names_in([words])
        except ValueError as error:
            raise ConfigError(f"{what}: {error}: {command}") from None
        if not words:
            raise ConfigError(f"{what}: the command is empty")
        steps.append((rooted(words[0]), *words[1:]))
    return tuple(steps)


def names_in(steps: Iterable[Sequence[str]]) -> set[str]:
    """Names of the placeholders of commands.

    Raises ValueError for a brace that does not close, and for a format within braces.
    """
    found = set()
    for word in (word for words in steps for word in words):
        for _, name, form, conversion in string.Formatter().parse(word):
            if form or conversion:
                raise ValueError(f"{{{name}}} has a format: only the name stands in braces")
            found |= {name} if name is not None else set()
    return found


def check_names(what: str, steps: Steps, known: Iterable[str]) -> None:
    """Raise ConfigError for a placeholder that is not known, naming the nearest one."""
    try:
        names = sorted(names_in(steps))
    except ValueError as error:
        raise ConfigError(f"{what}: {error}") from None
    for name in names:
        if name not in known:
            raise ConfigError(f"{what}: {unknown('placeholder', name, known)}")


def fill(words: Sequence[str], values: Mapping[str, object]) -> list[str]:
    """A command with the values of its placeholders; each word stays one argument."""
    return [word.format_map(values) for word in words]


def expand(path: str) -> str:
    """A path with `~` and the environment variables in `${NAME}`; one that is not set stays."""
    return rooted(_VARIABLE.sub(lambda found: os.environ.get(found[1], found[0]), path))


def rooted(word: str) -> str:
    """An absolute path, since programs run in another folder; the name of a program stays."""
    word = os.path.expanduser(word)
    if word.startswith(("{", "$")) or not ("/" in word or os.path.isdir(word)):
        return word
    return os.path.abspath(word)


def unset(path: str) -> list[str]:
    """Names of the environment variables of a path that are not set."""
    return [name for name in _VARIABLE.findall(path) if name not in os.environ]
