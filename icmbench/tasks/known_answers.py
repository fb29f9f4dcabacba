"""All kinds of answers, for tables and figures of the metrics of all tasks."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from icmbench.tasks import answers
from icmbench.tasks.answers import Answer


@functools.cache
def known_answers() -> dict[str, Answer]:
    """The kinds of `icmbench.tasks.answers` by name, sorted."""
    names = sorted(one.name for one in pkgutil.iter_modules(answers.__path__))
    modules = {name: importlib.import_module(f"{answers.__name__}.{name}") for name in names}
    return {name: module.ANSWER for name, module in modules.items() if hasattr(module, "ANSWER")}
