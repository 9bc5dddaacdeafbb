"""What callers may know of a bug: a fixed text, and an id under which the server's log has the traceback."""

from __future__ import annotations

import secrets
from typing import Final

from agentmesh.errors import Internal

_KEPT_AS: Final = "_agentmesh_incident"


def as_internal(raised: BaseException) -> Internal:
    """Return the error that stands for an unexpected one; of the same one always the same, until it is closed.

    So what the caller got and what a run remembers of a failure have the id under which the log has it.
    """
    incident: str = vars(raised).setdefault(_KEPT_AS, secrets.token_hex(8))
    return Internal(f"internal error, incident {incident}")


def close_incident(raised: BaseException) -> str:
    """Return the id of an unexpected error, 16 hex digits. Raised once more, it is a new incident."""
    incident: str = vars(raised).pop(_KEPT_AS, "") or secrets.token_hex(8)
    return incident
