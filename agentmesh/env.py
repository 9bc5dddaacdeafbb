"""Settings from the environment: typed, read once at the edge, every problem reported at once.

    env = Environment(os.environ)
    listen = env.text("AGENTMESH_AGENT_LISTEN", "127.0.0.1:0")
    ttl = env.number("AGENTMESH_AGENT_TTL_SECONDS", 15.0, at_least=1, at_most=3600)
    env.check()  # raises EnvironmentInvalid, naming every variable that is wrong

A variable that is set to nothing counts as unset. What is wrong gives the default until `check`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

_FLAGS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class EnvironmentInvalid(ValueError):
    """Settings are wrong; `problems` has one text for each, beginning with the name of the variable."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class Environment:
    """Reads variables from a mapping, and remembers what was wrong with them."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._problems: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        """Return the value without surrounding white space."""
        return self._variables.get(name, "").strip() or default

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Read 1, true, yes, on, or 0, false, no, off, in any case."""
        text = self.text(name)
        if text and text.lower() not in _FLAGS:
            self.problem(name, f"{text!r} is neither 1 nor 0")
        return _FLAGS.get(text.lower(), default)

    def number(self, name: str, default: float, *, at_least: float = -math.inf, at_most: float = math.inf) -> float:
        """Read a finite number."""
        text = self.text(name)
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self.problem(name, f"{text!r} is no number")
            return default
        return self._within(name, value, default, at_least, at_most)

    def integer(self, name: str, default: int, *, at_least: float = -math.inf, at_most: float = math.inf) -> int:
        """Read a whole number."""
        text = self.text(name)
        if not text:
            return default
        try:
            value = int(text)
        except ValueError:
            self.problem(name, f"{text!r} is no whole number")
            return default
        return int(self._within(name, value, default, at_least, at_most))

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        """Read one of a few words, in any case."""
        text = self.text(name, default).lower()
        if text not in choices:
            self.problem(name, f"{text!r} is none of {', '.join(choices)}")
            return default
        return text

    def problem(self, name: str, text: str) -> None:
        """Remember that a variable is wrong in a way that only its reader can tell; read twice, it is wrong once."""
        problem = f"{name}: {text}"
        if problem not in self._problems:
            self._problems.append(problem)

    def check(self) -> None:
        """Raise what was found so far.

        Raises:
            EnvironmentInvalid: If anything was wrong.
        """
        if self._problems:
            raise EnvironmentInvalid(self._problems)

    def _within(self, name: str, value: float, default: float, at_least: float, at_most: float) -> float:
        if value < at_least:
            self.problem(name, f"{value:g} is less than {at_least:g}")
            return default
        if value > at_most:
            self.problem(name, f"{value:g} is more than {at_most:g}")
            return default
        return value
