"""Figures by name: the functions with which entries of the catalogue are drawn."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure_module(name: str) -> str:
    """The module of a figure's function; both have the same name."""
    return f"{__package__}.figures.{name}"


def draw(name: str, given: Mapping[str, Any]) -> Figure:
    """Draw a figure; its function gets those of the given values that it has parameters for."""
    function = getattr(importlib.import_module(figure_module(name)), name)
    names = inspect.signature(function).parameters
    figure: Figure = function(**{key: value for key, value in given.items() if key in names})
    return figure
