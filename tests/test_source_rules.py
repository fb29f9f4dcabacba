"""Rules of the source tree that no linter has: encodings, readers of tables.

They hold for all that runs outside of tests; tests read files that they wrote themselves.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

FOLDERS = ("icmbench", "workflow_scripts", "rules", "tools", "docs")
OPENERS = {"open", "read_text", "write_text", "fdopen", "TextIOWrapper", "NamedTemporaryFile"}
# Of the standard library's and other packages' `open`, these read bytes or have no encoding.
BINARY = {"PillowImage", "av", "Image", "os", "tarfile", "archive", "source", "bundle", "self"}


def calls(text: str) -> Iterator[tuple[str, ast.Call]]:
    """The last name of every function that a program calls, and the call."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            func = node.func
            if isinstance(func, ast.Attribute):
                yield func.attr, node
            elif isinstance(func, ast.Name):
                yield func.id, node


def sources() -> list[Path]:
    """All Python files that do not belong to tests."""
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def without_encoding(text: str) -> list[int]:
    """Lines that open or capture text in the encoding of the locale."""
    lines = []
    for name, call in calls(text):
        keys = {key.arg for key in call.keywords} - {None}
        if {"text", "universal_newlines"} & keys and "encoding" not in keys:
            lines.append(call.lineno)
        if name not in OPENERS or "encoding" in keys:
            continue
        values = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
        texts = [value for value in values if isinstance(value, str)]
        if name in ("read_text", "write_text"):
            own = [value for value in texts if value in ("utf-8", "ascii", "utf-8-sig")]
            wrong = not own
        else:
            owner = call.func.value if isinstance(call.func, ast.Attribute) else None
            binary = isinstance(owner, ast.Name) and owner.id in BINARY
            binary = binary or (
                isinstance(owner, ast.Attribute) and owner.attr.strip("_") in BINARY
            )
            modes = [key.value for key in call.keywords if key.arg == "mode"]
            modes += [arg for arg in call.args[1:2] if isinstance(arg, ast.IfExp | ast.Constant)]
            wrong = not binary and not any("b" in ast.unparse(mode).lower() for mode in modes)
        # The project's own functions, no methods, choose the encoding themselves.
        ours = name in ("read_text", "write_text") and isinstance(call.func, ast.Name)
        if wrong and not ours:
            lines.append(call.lineno)
    return lines


@pytest.mark.parametrize(
    "program",
    [
        "open(path)",
        "open(path, 'w')",
        "path.open()",
        "path.read_text()",
        "path.write_text('a')",
        "os.fdopen(1, 'w')",
        "subprocess.run(command, text=True)",
    ],
)
def test_the_rule_of_encodings_finds(program: str) -> None:
    assert without_encoding(program.replace("os.fdopen", "fdopen"))


@pytest.mark.parametrize(
    "program",
    [
        "open(path, 'rb')",
        "open(path, encoding='utf-8')",
        "path.read_text('utf-8')",
        "PillowImage.open(path)",
        "write_text(path, text)",
        "subprocess.run(command, encoding='utf-8')",
    ],
)
def test_the_rule_of_encodings_allows(program: str) -> None:
    assert not without_encoding(program)


def test_text_is_read_and_written_with_an_encoding() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources()
        for line in without_encoding(path.read_text("utf-8"))
    ]
    assert not found


def test_one_module_reads_tables() -> None:
    """pandas guesses types: the data set 001 would become 1, NA a missing value."""
    readers = {f"{pandas}.read_{kind}" for pandas in ("pd", "pandas") for kind in ("table", "fwf")}
    found = {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        for name, call in calls(path.read_text("utf-8"))
        if name == "read_csv" or ast.unparse(call.func) in readers
    }
    assert found == {"icmbench/core/typed_csv.py"}


def test_one_module_starts_python() -> None:
    """`start_python` keeps the working directory out of the modules' search path."""
    others = {"sys.executable", "sys._base_executable", "os.fork", "os.system", "os.popen"}
    found = {}
    for path in sources():
        text = path.read_text("utf-8")
        names = {ast.unparse(n) for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Attribute)}
        known = {n for n in names if n in others or n.startswith(("os.exec", "os.spawn"))}
        known |= {n for n in ("multiprocessing", "ProcessPoolExecutor") if n in text}
        if known:
            found[path.relative_to(ROOT).as_posix()] = sorted(known)
    assert found == {"icmbench/core/processes.py": ["sys.executable"]}
