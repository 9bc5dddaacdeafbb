"""Exit codes, in one table, and the error that a command raises to leave with one of them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """What the caller's shell sees."""

    OK = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    NO_AGENT = 4
    UNAVAILABLE = 5
    TIMED_OUT = 6
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141


MEANINGS: Final = {
    ExitCode.OK: "done; for a question: the answer is complete",
    ExitCode.FAILED: "the mesh answered with an error, the output cannot be written, or this command has a bug",
    ExitCode.USAGE: "what was asked for is wrong: options, budget, token, configuration, plan, skill or run",
    ExitCode.PARTIAL: "answered, and a part is missing",
    ExitCode.NO_AGENT: "no agent can answer this question",
    ExitCode.UNAVAILABLE: "nothing to ask just now: not reachable, no agents, busy; later may do",
    ExitCode.TIMED_OUT: "the time ran out",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C)",
    ExitCode.OUTPUT_CLOSED: "whoever read the output has left",
}


class CommandFailed(Exception):
    """A command cannot go on; shown on stderr without a traceback.

    Args:
        message: What is wrong, in one line.
        details: More, one line each.
        advice: What to do; empty if there is nothing to say.
        code: The exit code.
    """

    def __init__(
        self, message: str, *, details: Sequence[str] = (), advice: str = "", code: ExitCode = ExitCode.FAILED
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)
        self.advice = advice
        self.code = code


class OutputClosed(Exception):
    """The reader of our output has gone; an OSError would be taken for ours by the command-line library."""
