"""Which modules of other packages a script of the workflow can reach, function by function.

Read, not run: references are followed from the script through icmbench's own functions, classes and
modules, so a module that is imported inside a function counts where something refers to it.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = "icmbench"
# Methods that import a package by themselves, and what they import.
ENGINES: Final = {"read_parquet": "import pyarrow", "to_parquet": "import pyarrow"}
DISCOVER: Final = "discover"  # icmbench.core.registry's: it imports every module of a package
FIND: Final = "find_spec"  # importlib.util's: what is looked for by name is used where it is found
ALL: Final = "*"  # in a `Place`: everything that a module defines
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Place:
    """A module of icmbench and what of it is meant: a name, `ALL`, or "" for its statements."""

    module: str
    name: str = ""


# Not reached in a run without tasks.
OF_TASKS: Final = {
    Place("icmbench.tasks.registry", "make_task"),
    Place("icmbench.tasks.backends.mmcv_ext", "ensure_ops"),
    Place("icmbench.tasks.backends.mmcv_ext", "ms_deform_attn_forward"),
    Place("icmbench.tasks.backends.mmcv_ext", "ms_deform_attn_backward"),
}


@dataclass
class Module:
    """A parsed file: its statements, its functions and classes, and what its names stand for."""

    path: Path
    statements: list[ast.stmt] = field(default_factory=list)
    definitions: dict[str, Definition] = field(default_factory=dict)
    names: dict[str, Place] = field(default_factory=dict)


@functools.cache
def imports_of(script: Path, tasks: bool = True) -> dict[str, str]:
    """Import statements of other packages that a script can reach -> where one of them stands.

    Such as `from scipy import ndimage`. The standard library is left out.

    Args:
        tasks: False: the run has none, so that no task is made.
    """
    found: dict[str, str] = {}
    for place in sorted(_places(script, tasks), key=lambda place: (place.module, place.name)):
        for statement, where in _reached(place)[0].items():
            found.setdefault(statement, where)
    return dict(sorted(found.items()))


def modules_of(script: Path, tasks: bool = True) -> list[str]:
    """The modules of icmbench that a script can reach, sorted."""
    modules = {place.module for place in _places(script, tasks)}
    return sorted(name for name in modules if not name.endswith(".py"))


def _places(script: Path, tasks: bool) -> set[Place]:
    pending = [Place(str(script), ALL)]
    skipped = set() if tasks else OF_TASKS
    seen = set(skipped)
    while pending:
        place = pending.pop()
        if place not in seen:
            seen.add(place)
            pending += _reached(place)[1]
    return seen - skipped


def top_level(statement: str) -> str:
    """`from scipy.spatial import distance` -> `scipy`."""
    return statement.split()[1].partition(".")[0]


@functools.cache
def _reached(place: Place) -> tuple[dict[str, str], list[Place]]:
    """What one place imports of other packages, and the places of icmbench that it refers to."""
    module = _module(place.module)
    if place.name == ALL:
        nodes: list[ast.AST] = [*module.statements, *module.definitions.values()]
    elif place.name in module.definitions:
        nodes = [module.definitions[place.name]]
    elif place.name in module.names:
        return {}, [Place(place.module), module.names[place.name]]
    else:  # a constant, or a module's own name such as __name__
        nodes = list(module.statements)
        if place.name.startswith("__"):
            return {}, [Place(place.module, ALL)]
    visitor = _Visitor(module)
    for node in nodes:
        visitor.visit(node)
    inside = [*visitor.inside, *([Place(place.module)] if place.name else [])]
    return visitor.outside, [*inside, *_parents(place.module)]


def _parents(name: str) -> Iterator[Place]:
    """The packages around a module: their statements run before its own."""
    parts = name.split(".")
    if parts[0] == PACKAGE:
        yield from (Place(".".join(parts[:n])) for n in range(1, len(parts)))


@functools.cache
def _file(name: str) -> Path | None:
    """The file of a module of icmbench, by its dotted name; None: there is none."""
    if name.partition(".")[0] != PACKAGE:
        return Path(name) if name.endswith(".py") else None
    base = ROOT / Path(*name.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


@functools.cache
def _module(name: str) -> Module:
    path = _file(name)
    if path is None:
        raise FileNotFoundError(f"{name}: no such module")
    module = Module(path)
    for statement in _flat(ast.parse(path.read_text("utf-8")).body):
        if isinstance(statement, Definition):
            module.definitions[statement.name] = statement
        else:
            module.statements.append(statement)
            if isinstance(statement, ast.Import | ast.ImportFrom):
                module.names |= {local: place for local, place, _ in _bound(statement)}
    return module


def _flat(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run on import, those below `if` and `try`, too; none for types alone."""
    for statement in statements:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            yield from _flat(statement.orelse)
        elif isinstance(statement, ast.Try):
            blocks = [handler.body for handler in statement.handlers]
            for block in (statement.body, *blocks, statement.orelse, statement.finalbody):
                yield from _flat(block)
        else:
            yield statement


def _bound(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Place, str]]:
    """Local name, place in icmbench and module of every name that an import of icmbench binds."""
    for alias in node.names:
        if isinstance(node, ast.Import):
            if alias.name.partition(".")[0] == PACKAGE:
                local = alias.asname or PACKAGE
                yield local, Place(alias.name if alias.asname else PACKAGE), alias.name
        elif (node.module or "").partition(".")[0] == PACKAGE:
            module = f"{node.module}.{alias.name}"
            is_module = _file(module) is not None
            place = Place(module) if is_module else Place(str(node.module), alias.name)
            yield alias.asname or alias.name, place, module if is_module else str(node.module)


class _Visitor(ast.NodeVisitor):
    """Collects the imports below a node and the places that its names refer to."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.names = dict(module.names)
        self.outside: dict[str, str] = {}
        self.inside: list[Place] = []

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._outside(f"import {alias.name}", alias.name, node.lineno)
        self._bind(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = str(node.module)
        names = ", ".join(alias.name for alias in node.names)
        self._outside(f"from {module} import {names}", module, node.lineno)
        self._bind(node)

    def visit_Name(self, node: ast.Name) -> None:
        self._refer([node.id])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in ENGINES:
            self._outside(ENGINES[node.attr], "pyarrow", node.lineno)
        chain = _chain(node)
        if chain:
            self._refer(chain)
        else:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id == DISCOVER:
            packages = node.args[0].elts if isinstance(node.args[0], ast.List) else []
            for package in packages:
                self._discover(".".join(_chain(package) or []))
        named = [node.func.attr] if isinstance(node.func, ast.Attribute) else []
        if named == [FIND] and isinstance(node.args[0], ast.Constant):
            self._outside(f"import {node.args[0].value}", str(node.args[0].value), node.lineno)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> None:
        """Annotations are not evaluated: every file has `from __future__ import annotations`."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for part in (*node.decorator_list, node.args, *node.body):
            self.visit(part)

    visit_AsyncFunctionDef = visit_FunctionDef

    def _outside(self, statement: str, module: str, line: int) -> None:
        top = module.partition(".")[0]
        if top not in sys.stdlib_module_names and top != PACKAGE:
            path = self.module.path
            shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
            self.outside.setdefault(statement, f"{shown}:{line}")

    def _bind(self, node: ast.Import | ast.ImportFrom) -> None:
        for local, place, module in _bound(node):
            self.names[local] = place
            self.inside.append(Place(module))

    def _refer(self, chain: list[str]) -> None:
        """What `name`, `module.name` or `package.module.name` stands for, if it is icmbench's."""
        if chain[0] in self.names:
            place, rest = self.names[chain[0]], chain[1:]
            while rest and not place.name:
                inner = Place(f"{place.module}.{rest[0]}")
                named = Place(place.module, rest[0])
                place, rest = (inner if _file(inner.module) else named), rest[1:]
            self.inside.append(place if place.name else Place(place.module, ALL))
        elif chain[0] in self.module.definitions:
            self.inside.append(Place(self._own(), chain[0]))

    def _own(self) -> str:
        path = self.module.path
        if not path.is_relative_to(ROOT / PACKAGE):
            return str(path)
        parts = path.relative_to(ROOT).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def _discover(self, package: str) -> None:
        folder = ROOT / Path(*package.split("."))
        modules = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
        modules += [f"{path.parent.name}.codec" for path in sorted(folder.glob("*/codec.py"))]
        self.inside += [Place(f"{package}.{name}", ALL) for name in modules]


def _chain(node: ast.expr) -> list[str] | None:
    """`a.b.c` -> ["a", "b", "c"]; None where it does not begin with a name."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        below = _chain(node.value)
        return below and [*below, node.attr]
    return None
