"""How a caller says who it is."""

from __future__ import annotations

import re
from typing import Final

from agentmesh import errors

_AUTHORIZATION: Final = "authorization"
_PRINTABLE: Final = re.compile(r"[!-~]+")


def metadata_of(token: str) -> dict[str, str]:
    """Return what every call carries; nothing for the empty token.

    Raises:
        errors.RequestInvalid: It is none that metadata can carry; the text does not repeat it.
    """
    if not token:
        return {}
    if _PRINTABLE.fullmatch(token) is None:
        raise errors.RequestInvalid.of("token", "must be printable ASCII without white space")
    return {_AUTHORIZATION: f"Bearer {token}"}
