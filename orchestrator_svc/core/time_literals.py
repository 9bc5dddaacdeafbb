"""Dates and times that are written out in a plan.

A plan that holds one the question does not is a plan of the day on which it was made: the model has worked out what
"yesterday" is. It must not be used again on another day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from agentmesh.jsonvalues import Json

_MONTH: Final = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?"
    "|nov(?:ember)?|dec(?:ember)?"
)
_WRITTEN: Final = re.compile(
    rf"\d{{4}}-\d{{2}}(?:-\d{{2}})?"  # 2026-11-22, 2026-11
    rf"|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}"  # 22.11.2026, 11/22/26
    rf"|\d{{1,2}}:\d{{2}}(?::\d{{2}})?"  # 13:30, 13:30:05
    rf"|\b\d{{1,2}}(?:st|nd|rd|th)?\.? (?:{_MONTH})\b|\b(?:{_MONTH}) \d{{1,2}}\b"  # 22 November, Nov 22
    r"|\b(?:19|20)\d{2}\b"  # a year
    r"|\b\d{10}(?:\d{3})?\b",  # seconds or milliseconds since 1970
    re.IGNORECASE,
)


def worked_out_times(plan: Json, question: str) -> frozenset[str]:
    """The dates, times, years and timestamps in a plan that its question does not hold.

    A number that only looks like one (the year 2000 of `limit: 2000`) is among them.
    """
    said = question.casefold()
    found = {match.group().casefold() for text in _texts(plan) for match in _WRITTEN.finditer(text)}
    return frozenset(literal for literal in found if literal not in said)


def _texts(value: Json) -> Iterator[str]:
    """Every string, and every number as text; keys are names of arguments and not looked at."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, str):
            yield one
        elif isinstance(one, int | float) and not isinstance(one, bool):
            yield f"{one:.0f}" if float(one).is_integer() else str(one)
