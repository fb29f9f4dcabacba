"""Docstrings begin with a noun phrase or an imperative verb: no relative or question word."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

WORDS = re.compile(r"(How|That|What|When|Where|Whether|Which|Who|Whom|Whose|Why)\b", re.IGNORECASE)
FOLDERS = ("icmbench", "workflow_scripts", "tools", "docs")
# Docstrings that break the rule, by package or folder; a number here may only fall.
LEFT = {
    "codecs": 40, "config": 6, "evaluation": 9, "metrics": 4, "reporting": 44, "studies": 9,
    "tools": 7, "training": 3,
}  # fmt: skip


def docstrings(text: str) -> Iterator[tuple[str, str]]:
    """Every name of a module that has a docstring, and the docstring."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, kinds) and (docstring := ast.get_docstring(node)):
            yield getattr(node, "name", "module"), docstring


def broken() -> dict[str, list[str]]:
    """Package or folder -> names of the docstrings that break the rule."""
    found: dict[str, list[str]] = {}
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        part = parts[1] if parts[0] == "icmbench" else parts[0]
        for name, docstring in docstrings(path.read_text("utf-8")):
            if WORDS.match(docstring):
                found.setdefault(part, []).append(f"{Path(*parts)}: {name}: {docstring[:60]}")
    return found


@pytest.mark.parametrize("first", ["What a file holds.", "whether it is so", "Where it lies:"])
def test_the_rule_finds(first: str) -> None:
    program = f'def f():\n    """{first}"""\n'
    assert [name for name, text in docstrings(program) if WORDS.match(text)] == ["f"]


def test_docstrings_begin_plainly() -> None:
    for part, names in broken().items():
        assert len(names) <= LEFT.get(part, 0), "\n".join(names)
