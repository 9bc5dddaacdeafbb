"""What an agent answers to a name that it does not know."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from agentmesh import errors

_MOST_CHARACTERS: Final = 200
"""Of a name; longer ones are refused before anything is compared with them."""
_MOST_LISTED: Final = 12


def check_name(argument: str, name: str) -> None:
    """Raises errors.ArgumentsInvalid for a name that nothing can have: empty, over-long, with control characters."""
    if not name.strip():
        problem = "is empty"
    elif len(name) > _MOST_CHARACTERS:
        problem = f"has {len(name)} characters, at most {_MOST_CHARACTERS} are allowed"
    elif not name.isprintable():
        problem = "contains control characters"
    else:
        return
    violation = errors.Violation(f"arguments.{argument}", errors.ViolationReason.ARGUMENT_INVALID, problem)
    raise errors.ArgumentsInvalid(f"{argument} {problem}", violations=[violation])


def unknown(what: str, name: str, known: Iterable[str]) -> errors.NotFound:
    """The error for a name that passed `check_name` and is not among the known ones; it names the nearest."""
    names = sorted(set(known))
    lowered = {one.lower(): one for one in names}
    near = [lowered[one] for one in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)]
    if near:
        advice = f"did you mean {' or '.join(near)}?"
    elif names:
        more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
        advice = f"there is {', '.join(names[:_MOST_LISTED])}{more}"
    else:
        advice = "there is none"
    return errors.NotFound(f"no {what} named {name!r}; {advice}")
