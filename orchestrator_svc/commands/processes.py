"""Child processes of a local mesh: start, watch, read their logs, stop. What they are is not known here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

POLL_SECONDS: Final = 0.05
"""How often processes are looked at while something is waited for."""
_LEASH: Final = "orchestrator_svc.commands.leash"
_TAIL_LINES: Final = 15
_TAIL_BYTES: Final = 16_384


@dataclass(frozen=True, slots=True)
class Child:
    """One process; it writes stdout and stderr to its log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def last_lines(self) -> list[str]:
        """The end of its log."""
        with self.log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]

    def ending(self) -> str:
        """How it ended, e.g. `ended with exit code 1`, `was ended by SIGKILL`."""
        code = self.process.poll()
        if code is None:
            return "is running"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


class Processes:
    """The children of this process. They end with it, however it ends; see `leash`.

    Args:
        logs: Directory for a log each.
        orphan_grace_seconds: How long they may take to stop when this process has gone without stopping them.
    """

    def __init__(self, logs: Path, orphan_grace_seconds: float = 5.0) -> None:
        self._logs = logs
        self._orphan_grace = str(orphan_grace_seconds)
        self._leash, self._held = os.pipe()  # neither is inherited unless passed on; `_held` never is
        self.children: list[Child] = []

    def start(self, name: str, module: str, environment: Mapping[str, str], arguments: Sequence[str] = ()) -> Child:
        """Start a module in an interpreter like this one, which sees no modules of the working directory.

        It gets a session of its own, so that Ctrl-C reaches us alone.
        """
        log = self._logs / f"{name}.log"
        with log.open("ab") as file:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                [sys.executable, "-P", "-m", _LEASH, str(self._leash), self._orphan_grace, module, *arguments],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                pass_fds=(self._leash,),
                start_new_session=True,
            )
        child = Child(name, process, log)
        self.children.append(child)
        return child

    def dead(self) -> list[Child]:
        """The children that are not running."""
        return [child for child in self.children if not child.running]

    def stop(self, groups: Sequence[Sequence[Child]], *, grace_seconds: float, hurry: Callable[[], bool]) -> int:
        """Stop groups one after the other with SIGTERM, and whatever is left after the grace with SIGKILL.

        Args:
            groups: Who is stopped together; a child that is in none is stopped at the end.
            grace_seconds: For all groups together.
            hurry: Asked again and again; once it says yes, nothing is waited for any more.

        Returns:
            How many processes were running before.
        """
        running = sum(child.running for child in self.children)
        until = time.monotonic() + grace_seconds
        for group in (*groups, self.children):
            for child in group:
                if child.running:
                    child.process.terminate()
            if not _ended(group, until, hurry):
                break
        for child in self.children:
            if child.running:
                _kill(child)
            child.process.wait()
        os.close(self._held)
        os.close(self._leash)
        return running


def _kill(child: Child) -> None:
    """With its own children: they are in the session that it was given."""
    with suppress(ProcessLookupError):
        os.killpg(child.process.pid, signal.SIGKILL)


def _ended(group: Sequence[Child], until: float, hurry: Callable[[], bool]) -> bool:
    """Wait for a group; False if the time is up, or nobody wants to wait."""
    while any(child.running for child in group):
        if time.monotonic() >= until or hurry():
            return False
        time.sleep(POLL_SECONDS)
    return True


class LogFollower:
    """Gives the lines that were added to the logs since it was last asked."""

    def __init__(self) -> None:
        self._read: dict[Path, int] = {}

    def new_lines(self, child: Child) -> list[str]:
        """Whole lines only; an unfinished one comes with the next call."""
        with child.log.open("rb") as file:
            file.seek(self._read.get(child.log, 0))
            content = file.read()
        complete = content.rpartition(b"\n")[0]
        if not complete:
            return []
        self._read[child.log] = self._read.get(child.log, 0) + len(complete) + 1
        return complete.decode(errors="replace").split("\n")
