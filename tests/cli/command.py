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


async def run_in_terminal(*arguments: str, columns: int = 100, environment: dict[str, str] | None = None) -> Ended:
    """Run with a terminal for stdout and stderr, which arrive together in `out`."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    whole = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), **(environment or {})}
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=whole
    )
    os.close(theirs)
    reading = asyncio.create_task(asyncio.to_thread(_read_all, ours))
    code = await process.wait()
    content = await reading
    os.close(ours)
    return Ended(code, content.decode().replace("\r\n", "\n"), "")


def without_styles(text: str) -> str:
    """What a terminal shows, without colours, cursor movements and the lines of a spinner that were overwritten."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return "\n".join(line.rpartition("\r")[2].rstrip() for line in text.split("\n"))


def golden(name: str) -> str:
    return (GOLDEN / name).read_text()


def _read_all(descriptor: int) -> bytes:
    content = b""
    with contextlib.suppress(OSError):  # Linux says EIO where the other side has closed
        while piece := os.read(descriptor, 65_536):
            content += piece
    return content
