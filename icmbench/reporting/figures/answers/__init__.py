"""Drawings of the answers of tasks, one module per kind, of its name: its function `draw`."""

from __future__ import annotations

import importlib.util


def drawing_module(kind: str) -> str | None:
    """Name of the module that draws a kind of answers; None: it is not drawn."""
    name = f"{__name__}.{kind}"
    known = "." not in kind and importlib.util.find_spec(name) is not None
    return name if known else None
