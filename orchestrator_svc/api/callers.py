"""Who calls: the name that the bearer token of a call stands for."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from agentmesh.errors import Unauthenticated
from agentmesh.transport.calls import Call
from orchestrator_svc.app.request import ANONYMOUS

AUTHORIZATION: Final = "authorization"
_SCHEME: Final = "bearer"


class Callers:
    """The callers that this server knows. Tokens are kept as digests, and are in no message of an error.

    Args:
        tokens: Token by the name of its caller; no two are equal. Empty: credentials are not looked at, and everybody
            is `anonymous`.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._digests = {name: _digest(token) for name, token in tokens.items()}

    def of(self, context: Call) -> str:
        """Return the name of the caller; `anonymous` for a call without credentials.

        Raises:
            Unauthenticated: It has credentials, and they are nobody's.
        """
        if not self._digests:
            return ANONYMOUS
        given = [value for key, value in context.invocation_metadata() or () if key == AUTHORIZATION]
        if not given:
            return ANONYMOUS
        if len(given) > 1:
            raise Unauthenticated(f"the call has `{AUTHORIZATION}` {len(given)} times; send it once")
        scheme, _, token = str(given[0]).partition(" ")
        if scheme.lower() != _SCHEME:
            raise Unauthenticated(f"`{AUTHORIZATION}` is no `Bearer <token>`")
        return self._named(_digest(token.strip()))

    def _named(self, digest: bytes) -> str:
        """Every token is compared, whether or not one was found: the time taken tells nothing."""
        names = [name for name, known in self._digests.items() if hmac.compare_digest(known, digest)]
        if not names:
            raise Unauthenticated("the bearer token is nobody's; check it, or leave it out to be `anonymous`")
        return names[0]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
