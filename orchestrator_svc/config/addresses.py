"""Addresses as text: what one to listen at looks like, who can reach it, how a URL is shown."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit, urlunsplit

MASK: Final = "********"

_HOST_PORT: Final = re.compile(r"(?P<host>[^\s:/\[\]]+|\[[0-9a-fA-F:.%]+\]):(?P<port>[0-9]{1,5})\Z")
_UNIX: Final = "unix:"
_MAX_PORT: Final = 65_535


def checked_listen_address(value: str) -> str:
    """Return the address.

    Raises:
        ValueError: It is none of `host:port`, `[ipv6]:port`, `unix:path`.
    """
    if value.startswith(_UNIX) and len(value) > len(_UNIX):
        return value
    match = _HOST_PORT.match(value)
    if match is None or int(match["port"]) > _MAX_PORT:
        raise ValueError("no address to listen at")
    return value


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches the address; a host name other than localhost might be anybody's."""
    if address.startswith(_UNIX):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
