"""Tokens of pages: the place of the last thing that was shown, so that what comes or goes meanwhile moves nothing.

A token is bound to its list and to what was asked for: with other filters it would silently leave things out.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from agentmesh.errors import RequestInvalid
from agentmesh.jsonvalues import Json, digest

_BINDING_BYTES: Final = 9


@dataclass(frozen=True)
class PageTokens:
    """The tokens of one list. They are short, and may stand in a URL."""

    list_name: str
    """With a version: tokens of another list, or of another form of this one, are none of its."""
    filters: Json = None
    """Everything else that decides what is listed, also who asks."""

    def token_of(self, position: bytes) -> str:
        """The token of the page after a position."""
        return base64.urlsafe_b64encode(self._binding + position).rstrip(b"=").decode()

    def position_of(self, token: str) -> bytes:
        """The position that a token was made of.

        Raises:
            RequestInvalid: It is no token of this list, or was made with other filters.
        """
        packed = _decoded(token)
        if packed is None or packed[:1] != self._binding[:1]:
            raise not_a_token()
        if packed[:_BINDING_BYTES] != self._binding:
            raise RequestInvalid.of(
                "page_token", "belongs to a list with other filters; leave it out to begin with the first page"
            )
        return packed[_BINDING_BYTES:]

    @property
    def _binding(self) -> bytes:
        """One byte for the list, eight for the filters."""
        return bytes.fromhex(digest(self.list_name))[:1] + bytes.fromhex(digest(self.filters))[: _BINDING_BYTES - 1]


def not_a_token() -> RequestInvalid:
    """For a token whose position cannot be read."""
    return RequestInvalid.of("page_token", "is not the token of a page; leave it out to begin with the first page")


def _decoded(token: str) -> bytes | None:
    """Only what `token_of` writes: other ways to write the same bytes are refused."""
    try:
        packed = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    return packed if base64.urlsafe_b64encode(packed).rstrip(b"=") == token.encode() else None
