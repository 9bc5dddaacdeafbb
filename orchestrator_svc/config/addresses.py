"""Addresses as text: one to listen at, and URLs as they may be shown."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from agentmesh.listen import CannotListen, ListenAddress

MASK: Final = "********"
OFF: Final = "off"

_LAST_PORT: Final = 65535
_ORIGIN: Final = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?\Z")


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


def checked_http_listen(value: str) -> str:
    """Return the address, or `off`; errors as of `checked_listen_address`."""
    return value if value == OFF else checked_listen_address(value)


def next_to(address: str) -> str | None:
    """The address with the next port, where another server of the process listens if nothing else is said.

    Port 0 stays 0: the system chooses both. None beside a unix socket and the last port.
    """
    listen = ListenAddress.parse(address)
    if listen.path or listen.port == _LAST_PORT:
        return None
    return listen.with_port(listen.port + 1 if listen.port else 0)


def checked_origins(value: tuple[str, ...]) -> tuple[str, ...]:
    """Return the origins as browsers write them.

    Raises:
        ValueError: One is none.
    """
    for origin in value:
        if origin != "*" and not _ORIGIN.match(origin):
            raise ValueError(f"{origin!r} is no origin: write https://host or https://host:port, in lower case")
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
