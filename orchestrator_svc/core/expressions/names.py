"""The names that an expression can use without anybody declaring them, and that no step may therefore have.

They are what cel-expr-python 0.1.3 declares in an environment without extensions. A test asks that engine about every
word of its own binary, and fails when this page and the engine differ.
"""

from __future__ import annotations

from typing import Final

VARIABLES: Final = frozenset({"now", "item", "index"})
"""Ours: the start of the run; the element of a for_each step and its position."""

TEXT: Final = "text"
"""Our one function: its argument as interpolation writes it."""

KEYWORDS: Final = frozenset({
    "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop",
    "namespace", "null", "package", "return", "true", "var", "void", "while",
})  # fmt: skip
"""Words that the grammar takes or reserves."""

TYPES: Final = frozenset({
    "bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "type", "uint",
})  # fmt: skip
"""Names of types. A variable of such a name breaks every expression that is compiled beside it."""

MACROS: Final = frozenset({
    "all", "exists", "exists_one", "filter", "has", "map",
})  # fmt: skip
"""Rewritten while parsing."""

FUNCTIONS: Final = frozenset({
    "bool", "bytes", "contains", "double", "duration", "dyn", "endsWith", "getDate", "getDayOfMonth", "getDayOfWeek",
    "getDayOfYear", "getFullYear", "getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds", "int",
    "matches", "size", "startsWith", "string", "timestamp", "type", "uint",
}) | {TEXT}  # fmt: skip
"""Everything that can be called, except macros."""

RESERVED: Final = VARIABLES | KEYWORDS | TYPES | MACROS | FUNCTIONS
"""Names that no step may have."""
