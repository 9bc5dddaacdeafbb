"""Runs the program as its users do: in a process, through a pipe or in a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAM = [sys.executable, "-W", "error", "-m", "agentmesh.cli"]
GOLDEN = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


async def run(
    *arguments: str | bytes, stdin: bytes = b"", environment: dict[str, str] | None = None, cwd: Path | None = None
) -> Ended:
    """Run to the end with pipes for all three streams."""
    process = await start(*arguments, environment=environment, cwd=cwd)
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def start(
    *arguments: str | bytes,
    environment: dict[str, str] | None = None,
    cwd: Path | None = None,
    closed_stdout: bool = False,
) -> asyncio.subprocess.Process:
    """Start with pipes for all three streams; `closed_stdout`: that of stdout has no reader."""
    stdout = asyncio.subprocess.PIPE
    if closed_stdout:
        reader, stdout = os.pipe()
        os.close(reader)
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
        cwd=cwd,
    )
    if closed_stdout:
        os.close(stdout)
    return process


class Terminal:
    """The program in a terminal of 50 rows; stdout and stderr arrive together."""

    def __init__(self, process: asyncio.subprocess.Process, descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._content = b""
        self._arrived = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    @property
    def out(self) -> str:
        return self._content.decode(errors="replace").replace("\r\n", "\n")

    async def until(self, text: str) -> list[str]:
        """Return the screen as soon as it shows this text."""
        while text not in "\n".join(screen := frames(self.out)[-1]):
            self._arrived.clear()
            await self._arrived.wait()
        return screen

    async def ended(self) -> Ended:
        code = await self.process.wait()
        while self._descriptor >= 0:
            self._arrived.clear()
            await self._arrived.wait()
        return Ended(code, self.out, "")

    def close(self) -> None:
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> None:
        piece = b""
        with contextlib.suppress(OSError):  # Linux says EIO where the other side has closed
            piece = os.read(self._descriptor, 65_536)
        if piece:
            self._content += piece
        else:
            self.close()
        self._arrived.set()


@asynccontextmanager
async def in_terminal(
    *arguments: str, columns: int = 100, environment: dict[str, str] | None = None
) -> AsyncIterator[Terminal]:
    """Start in a terminal; a program that still runs at the end of the block is killed."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    whole = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), **(environment or {})}
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=whole
    )
    os.close(theirs)
    terminal = Terminal(process, ours)
    try:
        yield terminal
    finally:
        terminal.close()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run_in_terminal(*arguments: str, columns: int = 100, environment: dict[str, str] | None = None) -> Ended:
    """Run to the end with a terminal for stdout and stderr, which arrive together in `out`."""
    async with in_terminal(*arguments, columns=columns, environment=environment) as terminal:
        return await terminal.ended()


def frames(text: str) -> list[list[str]]:
    """What was to be seen each time before something was drawn over, and at the end; lines without styles.

    Knows what rich writes: colours, erased lines, the cursor up and to the left.
    """
    seen: list[list[str]] = []
    screen, row, erasing = [""], 0, False
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+|\x1b", text):
        if token in {"\x1b[2K", "\r"} or token.endswith("A"):
            if not erasing and any(screen):
                seen.append([line.rstrip() for line in screen])
            erasing = True
            if token == "\x1b[2K":
                screen[row] = ""
            elif token.endswith("A"):
                row -= int(token[2:-1] or 1)
            continue
        if token.startswith("\x1b["):
            continue
        erasing = False
        if token == "\n":
            row += 1
            screen += [""] * (row + 1 - len(screen))
        else:
            screen[row] += token
    return [*seen, [line.rstrip() for line in screen]]


def without_styles(text: str) -> str:
    """What a terminal shows at the end, without colours."""
    return "\n".join(frames(text)[-1])


def golden(name: str) -> str:
    return (GOLDEN / name).read_text()
