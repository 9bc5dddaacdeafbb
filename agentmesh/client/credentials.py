"""How a caller says who it is."""

from __future__ import annotations

import re
from typing import Final

_AUTHORIZATION: Final = "authorization"
_PRINTABLE: Final = re.compile(r"[!-~]+")


def is_token(text: str) -> bool:
    """Whether a bearer token may look like this: printable ASCII without white space."""
    return _PRINTABLE.fullmatch(text) is not None


def metadata_of(token: str) -> dict[str, str]:
    """Return what every call carries; nothing for the empty token.

    Raises:
        ValueError: It is no token; the text does not repeat it.
    """
    if token and not is_token(token):
        raise ValueError("a token is printable ASCII without white space")
    return {_AUTHORIZATION: f"Bearer {token}"} if token else {}
