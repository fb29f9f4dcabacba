"""All kinds of machine tasks, and the one that a configuration entry describes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import icmbench.tasks.kinds
from icmbench.core.errors import ConfigError
from icmbench.core.registry import discover
from icmbench.core.suggest import unknown
from icmbench.tasks.base import ENTRY_POINTS, Task

WORKFLOW_KEYS = ("datasets", "reference")  # of an entry: no options of the model


@functools.cache
def kinds() -> dict[str, type[Task]]:
    """Every task class by kind, sorted."""
    return discover([icmbench.tasks.kinds], Task, ENTRY_POINTS, "kind")  # type: ignore[type-abstract]


def make_task(name: str, entry: Mapping[str, Any]) -> Task:
    """The task of a configuration entry; its `type` defaults to its name.

    On which data sets it is run, and what it is compared with, are no options of the model.
    """
    options = {key: value for key, value in entry.items() if key not in WORKFLOW_KEYS}
    kind = options.pop("type", name)
    if kind not in kinds():
        raise ConfigError(unknown(f"type of task {name!r}", kind, kinds()))
    return kinds()[kind](name, options)
