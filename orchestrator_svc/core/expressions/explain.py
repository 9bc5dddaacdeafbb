"""What the engine complains about, said for who wrote the plan: what, in which column, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

from orchestrator_svc.core.expressions.names import FUNCTIONS, MACROS, VARIABLES
from orchestrator_svc.core.expressions.problems import EvaluationFailed, ExpressionInvalid, UnknownName
from orchestrator_svc.core.wording import did_you_mean, shortened

_ISSUE: Final = re.compile(r"^(?:\w+: )?ERROR: <input>:(-?\d+):(-?\d+): (.*)", re.MULTILINE)
_STATUS: Final = re.compile(r"\A[A-Z_]+: ")
_STATUS_AFTER: Final = re.compile(r" \[[A-Z_]+\]\Z")
_CHECKED: Final = re.compile(r"found no matching overload for '(.+?)' applied to '\((.*)\)'")
_CALLED: Final = re.compile(r"No matching overloads found : ([^(]+)(?:\((.*)\))?")
_UNDECLARED: Final = re.compile(r"undeclared reference to '(.+?)'")
_TESTED: Final = re.compile(r"has\(\s*([A-Za-z_]\w*)\s*\)")
_NUMBERS: Final = frozenset({"int", "int64", "uint", "uint64", "double"})
_TYPES: Final = {"int64": "int", "uint64": "uint", "google.protobuf.Timestamp": "timestamp"}
_KEYWORD_FIELD: Final = re.compile(r"no viable alternative at input '\.(\w+)'")
_SHOWN: Final = 100  # characters of a source or a token in a message


def unknown(names: Iterable[str], declared: Collection[str]) -> UnknownName:
    """Return the error for names that are not declared, each with the nearest one that is."""
    return UnknownName({name: _unknown(name, declared) for name in names})


def undeclared(text: str) -> frozenset[str]:
    """Return the names of which the engine's text says that they are not declared, without the fields after them."""
    found = (_UNDECLARED.search(message) for _, _, message in _ISSUE.findall(text))
    return frozenset(name[1].partition(".")[0] for name in found if name)


def invalid(source: str, text: str) -> ExpressionInvalid:
    """Return the error for the engine's text about an expression that does not compile."""
    if "recursion" in text:
        return ExpressionInvalid("nested too deeply (about 32 levels at most); split it over several steps")
    if "codepoint limit" in text:
        return ExpressionInvalid("longer than 100000 characters")
    issue = _ISSUE.search(text)
    if issue is None:
        return ExpressionInvalid(shortened(_bare(text), _SHOWN))
    line, column, message = int(issue[1]), int(issue[2]), issue[3]
    where = f"column {column}" if line == 1 else f"line {line}, column {column}"
    return ExpressionInvalid(f"{where}: {_compile_message(source, _bare(message))}")


def failed(source: str, text: str) -> EvaluationFailed:
    """Return the error for the engine's text about an expression that ended in an error."""
    message = _STATUS.sub("", _bare(text))
    if "Iteration budget" in message:
        message = "too many iterations; about 10000 are allowed, all comprehensions together"
    elif call := _CALLED.search(message):
        message = _no_overload(call[1], call[2] or "")
    elif message.startswith("Key not found in map : "):
        message = f"there is no field {message.removeprefix('Key not found in map : ')}"
    elif message.startswith("Applying SELECT to non-message type"):
        message = "a field is selected from a value that is no object"
    return EvaluationFailed(f"`{shortened(source.strip(), _SHOWN)}`: {message}")


def _unknown(name: str, declared: Collection[str]) -> str:
    if name in VARIABLES:  # now is always declared
        return f"`{name}` exists only in the arguments of a step with for_each"
    habit = {"True": "true", "False": "false", "None": "null", "undefined": "null"}.get(name)
    hint = f"; did you mean `{habit}`?" if habit else did_you_mean(name, declared)
    return f"there is no step or variable `{shortened(name, _SHOWN)}`{hint}"


def _compile_message(source: str, message: str) -> str:
    if message.startswith("has() argument"):
        operand = _TESTED.search(source)
        name = operand[1] if operand else "step"
        return f"has() tests a field: write has({name}.field)"
    if call := _CHECKED.search(message):
        return _no_overload(call[1], call[2])
    if name := _UNDECLARED.search(message):
        return _no_function(name[1])
    if message.startswith("unsupported syntax"):
        return f"{message}; test a field with has(s.field) instead"
    if message.startswith("Syntax error"):
        return _syntax(source, message)
    return message


def _no_function(name: str) -> str:
    known = FUNCTIONS | MACROS
    if name in known:
        return f"`{name}` is not called with these arguments"
    return f"there is no function `{name}`{did_you_mean(name, known)}"


def _no_overload(function: str, types: str) -> str:
    operator = "? :" if function in {"_?_:_", "<jump_condition>"} else function.strip("_@").replace("_", "")
    operands = [_TYPES.get(kind, kind) for kind in types.split(", ")] if types else []
    what = f"`{operator}` does not take ({', '.join(operands)})" if operands else f"`{operator}` cannot take this"
    return f"{what}{_instead(operator, set(operands))}"


def _instead(operator: str, operands: set[str]) -> str:
    if operator == "%" and "double" in operands:
        return "; numbers in results are doubles, `%` takes integers: write int(x) % 2"
    if len(operands) > 1 and operands <= _NUMBERS:
        return "; numbers in results are doubles: write 5.0 instead of 5, or double(x)"
    if operator == "+" and "string" in operands:
        return "; write text(x) to join a value to a string"
    if operator in {"&&", "||", "!", "? :"}:
        return "; it takes bools: compare first, such as size(x) > 0, x != null or has(s.field)"
    return ""


def _syntax(source: str, message: str) -> str:
    if "${" in source:
        return "`${` does not belong inside an expression; write names as they are"
    if word := _KEYWORD_FIELD.search(message):
        return f'`{word[1]}` is a word of the language; as a field write ["{word[1]}"]'
    message = message.split(" expecting ", maxsplit=1)[0].removeprefix("Syntax error: ").replace("'<EOF>'", "the end")
    hints = [
        f"write {right} instead of {wrong}"
        for wrong, right, pattern in (
            ("`=`", "`==`", r"[^=!<>]=[^=]"),
            ("`===`", "`==`", r"==="),
            ("`and`", "`&&`", r"\band\b"),
            ("`or`", "`||`", r"\bor\b"),
            ("`not`", "`!`", r"\bnot\b"),
        )
        if re.search(pattern, source)
    ]
    return f"syntax error, {shortened(message, _SHOWN)}" + (f"; {hints[0]}" if hints else "")


def _bare(text: str) -> str:
    return _STATUS_AFTER.sub("", text.strip())
