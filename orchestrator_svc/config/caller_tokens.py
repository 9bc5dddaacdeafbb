"""The callers that are configured: a name and a token each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydantic import SecretStr

from agentmesh.cards import is_name
from orchestrator_svc.app.request import ANONYMOUS

TOKEN_CHARACTERS: Final = (16, 1024)
"""Shorter ones are guessed, longer ones do not fit the metadata of a call beside the rest."""
_PRINTABLE: Final = re.compile(r"[!-~]+")


def checked_tokens(tokens: dict[str, SecretStr]) -> Mapping[str, SecretStr]:
    """Return the tokens by name.

    What is wrong is said by place, and never by name: names and tokens may have been swapped.

    Raises:
        ValueError: A name is none or `anonymous`, a token is too short, too long, or holds white space or other
            characters than those of ASCII, or two callers have the same one.
    """
    seen: dict[str, int] = {}
    for place, (name, secret) in enumerate(tokens.items(), start=1):
        if not is_name(name) or name == ANONYMOUS:
            raise ValueError(f"the name of caller {place} is not one that a caller may have")
        token = secret.get_secret_value()
        least, most = TOKEN_CHARACTERS
        if not (least <= len(token) <= most and _PRINTABLE.fullmatch(token)):
            raise ValueError(f"the token of caller {place} is not of {least} to {most} printable characters")
        if token in seen:
            raise ValueError(f"callers {seen[token]} and {place} have the same token")
        seen[token] = place
    return MappingProxyType(tokens)
