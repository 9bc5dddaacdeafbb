"""A conversation as Chat Completions messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from agentmesh.jsonvalues import Json
from orchestrator_svc.app.ports.planner import Role, Turn

_ROLES: Final = {Role.USER: "user", Role.ASSISTANT: "assistant"}


def conversation(system: str, history: Iterable[Turn], last: str) -> list[Json]:
    """Return the messages: our words, what was said before, what is said now. History is never system text."""
    said = [(_ROLES[turn.role], turn.text) for turn in history]
    return [{"role": role, "content": text} for role, text in (("system", system), *said, ("user", last))]
