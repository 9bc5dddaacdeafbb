"""Addresses that a server listens on: read strictly, because the core guesses (`:99999` becomes another port)."""

from __future__ import annotations

import ipaddress
import re
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

_HOST_AND_PORT: Final = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]/]+)):(?P<port>\d{1,5})\Z")
_MAX_PORT: Final = 65535
_log = structlog.get_logger(scope="agentmesh.server")


class CannotListen(OSError):
    """The server cannot take this address; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """`host:port`, `[v6]:port` (port 0: the kernel chooses) or `unix:/path`."""

    host: str
    """Empty for a unix socket."""
    port: int
    """0 for a unix socket."""
    path: str
    """Empty for TCP."""

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Read it.

        Raises:
            CannotListen: If it is none of the three forms.
        """
        if text.startswith("unix:") and len(text) > len("unix:"):
            return cls("", 0, text.removeprefix("unix:"))
        found = _HOST_AND_PORT.match(text)
        if found is None or int(found["port"]) > _MAX_PORT:
            raise CannotListen(f"cannot listen on {text!r}: write host:port, [IPv6]:port or unix:/path")
        return cls(found["v6"] or found["host"], int(found["port"]), "")

    @property
    def is_local(self) -> bool:
        """True if only this machine can connect: a unix socket or a loopback address."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def with_port(self, port: int) -> str:
        """Return the address as clients write it, with the port that the kernel chose."""
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"

    def __str__(self) -> str:
        return self.with_port(self.port)

    def check_free(self) -> None:
        """Refuse a unix socket that somebody serves: the core would take it away from them without a word.

        Raises:
            CannotListen: If it is taken, or the path is something else than a socket.
        """
        path = Path(self.path)
        if not self.path or not path.exists():
            return
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise CannotListen(f"cannot listen on {self}: there is a file that is no socket")
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(self.path) == 0:
                raise CannotListen(f"cannot listen on {self}: another process listens there")

    def check_plaintext(self, *, allowed: bool) -> None:
        """Refuse an address that other machines reach; where that is allowed, warn of it.

        Raises:
            CannotListen: If it is not allowed.
        """
        if self.is_local:
            return
        if not allowed:
            raise CannotListen(
                f"cannot listen on {self}: other machines reach it, and there is no TLS yet; "
                "listen on 127.0.0.1, or set AGENTMESH_ALLOW_PLAINTEXT=1 where the network is trusted"
            )
        _log.warning("listening without TLS on an address that other machines reach", address=str(self))

    def bind(self) -> socket.socket:
        """Return a socket that is bound to it.

        Raises:
            CannotListen: If it is taken, or not ours.
        """
        self.check_free()
        self.leave()  # nobody serves it any more
        try:
            return self._bound()
        except OSError as error:
            raise CannotListen(f"cannot listen on {self}: {error.strerror or error}") from None

    def leave(self) -> None:
        """Remove the file of a unix socket that was bound."""
        if self.path:
            Path(self.path).unlink(missing_ok=True)

    def why_not(self) -> str:
        """Say why binding failed; the core tells only its own log."""
        try:
            self._bound().close()
        except OSError as error:
            return error.strerror or str(error)
        return "the gRPC core could not bind it"

    def _bound(self) -> socket.socket:
        family = socket.AF_UNIX if self.path else socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # asyncio sends small packets at once only on a socket that says that it is TCP: else an answer waits for 40 ms.
        made = socket.socket(family, proto=0 if self.path else socket.IPPROTO_TCP)
        try:
            if self.path:
                made.bind(self.path)
            else:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                made.bind((self.host, self.port))
        except OSError:
            made.close()
            raise
        return made
