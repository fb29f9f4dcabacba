"""Docstrings begin with a noun phrase or an imperative verb: no relative or question word."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from conftest import ROOT

WORDS = re.compile(r"(How|That|What|When|Where|Whether|Which|Who|Whom|Whose|Why)\b", re.IGNORECASE)
FOLDERS = ("icmbench", "workflow_scripts", "tools", "docs")


def docstrings(text: str) -> Iterator[tuple[str, str]]:
    """Every name of a module that has a docstring, and the docstring."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, kinds) and (docstring := ast.get_docstring(node)):
            yield getattr(node, "name", "module"), docstring


def broken() -> list[str]:
    """Place, name and first words of every docstring that breaks the rule."""
    return [
        f"{path.relative_to(ROOT)}: {name}: {docstring[:60]}"
        for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
        for name, docstring in docstrings(path.read_text("utf-8"))
        if WORDS.match(docstring)
    ]


@pytest.mark.parametrize("first", ["What a file holds.", "whether it is so", "Where it lies:"])
def test_the_rule_finds(first: str) -> None:
    program = f'def f():\n    """{first}"""\n'
    assert [name for name, text in docstrings(program) if WORDS.match(text)] == ["f"]


def test_docstrings_begin_plainly() -> None:
    assert not (found := broken()), "\n".join(found)
