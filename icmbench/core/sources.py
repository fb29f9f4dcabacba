"""Python sources as far as they decide results: syntax tree without docstrings, and imports.

Comments, docstrings, formatting and blocks `if TYPE_CHECKING` do not count. Imports inside
functions do, and so do modules that are imported by name: the literal argument of `import_module`
and `find_spec`, and a module's constant `LOADS`, a tuple of names.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from icmbench.core.errors import StorageError
from icmbench.core.files import sha256_bytes, write_text

# The dump of a syntax tree depends on Python: entries of another version do not count.
FORMAT: Final = f"1 {sys.version_info.major}.{sys.version_info.minor}"
MOST_CACHED: Final = 2000
LOADS: Final = "LOADS"
_MODULE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_FILE: Final = re.compile(r"\w[\w.-]{1,63}")
_BY_NAME: Final = ("import_module", "find_spec")


class Import(NamedTuple):
    """An import statement; no names: `import module`."""

    level: int
    module: str
    names: tuple[str, ...]


class Source(NamedTuple):
    """The counting part of a source file.

    Attributes:
        digest: sha256 of the syntax tree without docstrings.
        imports: all imports, sorted.
        named: string constants that may name modules, such as the argument of `python -m`.
        beside: string constants that may name data beside the file; empty without `__file__`.
    """

    digest: str
    imports: tuple[Import, ...]
    named: tuple[str, ...]
    beside: tuple[str, ...]


def read_source(text: bytes) -> Source:
    """The counting part of a source; SyntaxError where it is no Python."""
    tree = _Counting().visit(ast.parse(text))
    imports: set[Import] = set()
    texts: set[str] = set()
    uses_place = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports.update(Import(0, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = tuple(sorted(alias.name for alias in node.names))
            imports.add(Import(node.level, node.module or "", names))
        elif isinstance(node, ast.Call | ast.Assign | ast.AnnAssign):
            imports.update(Import(0, name, ()) for name in _loaded(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.add(node.value)
        elif isinstance(node, ast.Name) and node.id == "__file__":
            uses_place = True
    dump = ast.dump(tree, annotate_fields=False)
    return Source(
        sha256_bytes(dump.encode("utf-8", "surrogatepass")),
        tuple(sorted(imports)),
        tuple(sorted(text for text in texts if _MODULE.fullmatch(text))),
        tuple(sorted(text for text in texts if uses_place and _FILE.fullmatch(text))),
    )


def _loaded(node: ast.Call | ast.Assign | ast.AnnAssign) -> Iterator[str]:
    """Modules that a call loads by a literal name, or that an assignment to `LOADS` lists."""
    texts: list[ast.expr] = []
    if isinstance(node, ast.Call):
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        texts = node.args[:1] if called in _BY_NAME else []
    elif isinstance(node.value, ast.Tuple):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(getattr(target, "id", "") == LOADS for target in targets):
            texts = node.value.elts
    for text in texts:
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            yield text.value


class _Counting(ast.NodeTransformer):
    """Removes strings that are statements of their own, and blocks `if TYPE_CHECKING`."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> Any:
        if getattr(node.test, "attr", getattr(node.test, "id", "")) != "TYPE_CHECKING":
            return self.generic_visit(node)
        kept: list[ast.AST] = []
        for part in map(self.visit, node.orelse):
            kept += part if isinstance(part, list) else [part] if part is not None else []
        return kept


class SourceCache:
    """Parsed sources by the sha256 of their content, kept in a JSON file that may be deleted.

    Args:
        path: the file; None: nothing is kept.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._entries: dict[str, Any] = {}
        self._used: set[str] = set()
        self._changed = False
        if path is not None and path.is_file():
            try:
                stored = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                stored = {}  # it is made again
            if isinstance(stored, dict) and stored.get("format") == FORMAT:
                self._entries = stored["entries"]

    def source(self, path: Path) -> Source:
        """The counting part of a file; SyntaxError and OSError as Python's own."""
        text = path.read_bytes()
        key = sha256_bytes(text)
        stored = self.get(key)
        if stored is None:
            found = read_source(text)
            self.put(key, found)
            return found
        digest, imports, named, beside = stored
        each = tuple(Import(level, module, tuple(names)) for level, module, names in imports)
        return Source(digest, each, tuple(named), tuple(beside))

    def get(self, key: str) -> Any:
        """Return the value of a key, or None."""
        self._used.add(key)
        return self._entries.get(key)

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON-able value until `save` and beyond."""
        self._used.add(key)
        self._entries[key] = value
        self._changed = True

    def save(self) -> None:
        """Write the file where something is new; where it cannot be written nothing is kept."""
        if self._path is None or not self._changed:
            return
        if len(self._entries) > MOST_CACHED:
            self._entries = {k: v for k, v in self._entries.items() if k in self._used}
        try:
            write_text(self._path, json.dumps({"format": FORMAT, "entries": self._entries}))
        except (OSError, StorageError):
            self._path = None  # the next start parses again: it takes longer and gives the same
        self._changed = False
