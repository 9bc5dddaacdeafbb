"""How our metrics are called in Prometheus, and which names an expression uses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Final

from agentmesh.telemetry import names
from tests.deploy.compose_file import ROOT

_UNITS: Final[Mapping[str, str]] = {"s": "_seconds"}
"""A unit in braces, as {call}, is no part of the name."""
_SUFFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "create_counter": ("_total",),
    "create_histogram": ("_bucket", "_count", "_sum"),
    "create_up_down_counter": ("",),
    "create_observable_gauge": ("",),
}
OF_OTHERS: Final = {
    "up",  # Prometheus
    "target_info",  # the Prometheus exporter of the collector: one for each process that pushes
    "otelcol_receiver_refused_spans_total",  # the collector
    "otelcol_exporter_send_failed_spans_total",
}
_LABELS: Final = {"job", "instance", "le"} | {
    value.replace(".", "_") for value in vars(names).values() if isinstance(value, str)
}

_STRING: Final = re.compile(r'"(?:\\.|[^"\\])*"')
_DURATION: Final = re.compile(r"\b[0-9]+(?:ms|[smhdwy])\b")
_BY: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_MATCHERS: Final = re.compile(r"\{([^}]*)\}")
_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_FUNCTION: Final = re.compile(r"\b[a-z_]+\s*(?=\()")
_WORDS: Final = {"or", "and", "unless", "offset", "bool", "sum", "max", "min", "avg", "count"}


def exported() -> set[str]:
    """Series of every instrument that our code makes, by the translation of OpenTelemetry to Prometheus."""
    return set(_exported())


def _exported() -> Iterator[str]:
    for package in ("agentmesh", "orchestrator_svc", "agent_svcs"):
        for path in (ROOT / package).rglob("*.py"):
            source = path.read_text()
            if "create_" in source:
                yield from _of_module(ast.parse(source))


def _of_module(module: ast.Module) -> Iterator[str]:
    for call in ast.walk(module):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        suffixes = _SUFFIXES.get(call.func.attr, ())
        if suffixes and isinstance(constant := call.args[0], ast.Attribute):
            unit = next((ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg == "unit"), "")
            name = getattr(names, constant.attr).replace(".", "_") + _UNITS.get(unit, "")
            yield from (f"{name}{suffix}" for suffix in suffixes)


def used(expression: str) -> tuple[set[str], set[str]]:
    """Metrics and labels of an expression."""
    text = _DURATION.sub("", _STRING.sub("", expression))
    lists = [*_BY.findall(text), *_MATCHERS.findall(text)]
    labels = {name for found in lists for name in _NAME.findall(found)}
    bare = _FUNCTION.sub("", _MATCHERS.sub("", _BY.sub("", text)))
    return set(_NAME.findall(bare)) - _WORDS, labels


def unknown(expression: str, recorded: set[str]) -> set[str]:
    """Names in an expression that nothing makes; `recorded` are those of recording rules."""
    metrics, labels = used(expression)
    return (metrics - exported() - OF_OTHERS - recorded) | (labels - _LABELS)
