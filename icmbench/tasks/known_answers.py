"""All kinds of answers, for tables and figures of the metrics of all tasks."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import pkgutil

from icmbench.tasks import answers
from icmbench.tasks.answers import Answer, answer_of
from icmbench.tasks.base import ENTRY_POINTS


@functools.cache
def known_answers() -> dict[str, Answer]:
    """The kinds of `icmbench.tasks.answers` by name, sorted, and those of installed tasks."""
    names = sorted(one.name for one in pkgutil.iter_modules(answers.__path__))
    modules = {name: importlib.import_module(f"{answers.__name__}.{name}") for name in names}
    found = {name: module.ANSWER for name, module in modules.items() if hasattr(module, "ANSWER")}
    entries = importlib.metadata.entry_points(group=ENTRY_POINTS)
    elsewhere = sorted({entry.load().produces for entry in entries} - {*found})
    return found | {kind: answer_of(kind) for kind in elsewhere}
