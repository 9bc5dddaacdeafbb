"""docs/failure-semantics.md: every row names a test, and the test is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| (?P<situation>[^|]+) \|.*\| `(?P<file>tests/[\w/]+\.py)::(?P<test>\w+)` \|$")
LINES = (ROOT / "docs/failure-semantics.md").read_text().splitlines()
HEADS = {"| situation", "|---|---"}
ROWS = [line for line in LINES if line.startswith("|") and not any(line.startswith(head) for head in HEADS)]


@cache
def functions_of(file: str) -> frozenset[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(
        node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, functions)
    )


def test_there_are_rows() -> None:
    assert len(ROWS) > 30


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_a_row_names_a_test_that_exists(row: str) -> None:
    found = _ROW.match(row)
    assert found is not None
    assert found["test"] in functions_of(found["file"])
