"""The core does no I/O, has no clock and no chance: an exact list of what it imports, and names that it may not use."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import orchestrator_svc.core

ROOT = Path(orchestrator_svc.core.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

ALLOWED = {
    # the language
    "__future__", "collections", "collections.abc", "dataclasses", "enum", "functools", "itertools", "types", "typing",
    # texts and numbers
    "difflib", "heapq", "json", "math", "re",
    # datetime as a value; asking it for the time is forbidden below
    "datetime",
    # the order of steps
    "graphlib",
    # the pure part of our library
    "agentmesh.cards", "agentmesh.errors", "agentmesh.jsonvalues",
    # the engine of expressions, and the checker of schemas, which is told to fetch nothing
    "cel_expr_python", "jsonschema_rs",
}  # fmt: skip

ALLOWED_IN_ONE_PLACE = {
    "expressions/syntax.py": {
        "cel.expr.checked_pb2",
        "cel.expr.syntax_pb2",
        "google.protobuf.any_pb2",
        "google.protobuf.message",
    },
}
"""Generated code: the vendored cel.expr stubs, without which the engine's tree cannot be read."""

PACKAGES = {"agentmesh", "orchestrator_svc", "orchestrator_svc.core", "cel.expr", "google.protobuf"}
"""From these, modules are imported by name."""

FORBIDDEN_CALLS = {"open", "input", "print", "exec", "eval", "compile", "__import__", "breakpoint", "hash"}
"""Builtins that do I/O or run text; and one whose value is another one in every process."""

FORBIDDEN_ATTRIBUTES = {
    "now", "utcnow", "today", "fromtimestamp",  # of datetime and date
    "read_text", "write_text", "read_bytes", "write_bytes",
    "random", "uuid1", "uuid4", "urandom", "getenv", "environ", "sleep", "monotonic", "perf_counter", "time_ns",
}  # fmt: skip


TREES = [(file.relative_to(ROOT).as_posix(), ast.parse(file.read_text(encoding="utf-8"))) for file in FILES]


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a name comes from"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names) if module in PACKAGES else [module]


def test_there_is_a_core_to_look_at() -> None:
    assert {"plan.py", "validate.py", "schedule.py", "expressions/syntax.py"} <= {name for name, _ in TREES}


@pytest.mark.parametrize(("name", "tree"), TREES, ids=[name for name, _ in TREES])
def test_it_imports_only_what_is_on_the_list(name: str, tree: ast.Module) -> None:
    own = {module for module in imported(tree) if module.split(".")[:2] == ["orchestrator_svc", "core"]}
    assert set(imported(tree)) - own <= ALLOWED | ALLOWED_IN_ONE_PLACE.get(name, set())


def test_nothing_is_on_the_list_that_is_not_imported() -> None:
    everything = {module for _, tree in TREES for module in imported(tree)}
    assert everything >= ALLOWED
    for name, modules in ALLOWED_IN_ONE_PLACE.items():
        assert modules <= set(imported(dict(TREES)[name]))


@pytest.mark.parametrize(("name", "tree"), TREES, ids=[name for name, _ in TREES])
def test_it_asks_neither_files_nor_clocks_nor_chance(name: str, tree: ast.Module) -> None:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
            found.append(f"{name}:{node.lineno} calls {node.func.id}")
        if isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_ATTRIBUTES:
            found.append(f"{name}:{node.lineno} uses .{node.attr}")
    assert found == []


def test_no_code_of_the_core_is_asynchronous() -> None:
    asynchronous = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert [name for name, tree in TREES for node in ast.walk(tree) if isinstance(node, asynchronous)] == []
