"""Addresses as text: one to listen at, and URLs as they may be shown."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit, urlunsplit

from agentmesh.transport.listen import CannotListen, ListenAddress

MASK: Final = "********"


def checked_listen_address(value: str) -> str:
    """Return the address.

    Raises:
        ValueError: It is none of `host:port`, `[ipv6]:port`, `unix:/path`.
    """
    try:
        ListenAddress.parse(value)
    except CannotListen as error:
        raise ValueError(str(error)) from None
    if any(character.isspace() for character in value):
        raise ValueError("white space in an address")
    return value


def is_local(address: str) -> bool:
    """Whether only this machine reaches the address."""
    return ListenAddress.parse(address).is_local


def without_password(text: str) -> str:
    """Return the text; a URL that carries a password, with the password masked."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    if parts.password is None:
        return text
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:{MASK}@{host}"))
