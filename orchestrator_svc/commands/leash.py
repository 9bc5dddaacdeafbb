"""Runs a module as its own program, and ends it when the process that started it has gone, however that ended.

    python -m orchestrator_svc.commands.leash FD MODULE

FD is the reading end of a pipe whose writing end only the parent has: its end is the end of the parent, SIGKILL
included. This needs no help of the system beyond pipes, so it works on Linux and macOS alike.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
from typing import Final

GRACE_SECONDS: Final = 5.0
"""From SIGTERM, on which the program drains, to SIGKILL: nobody waits for its answers any more."""


def main() -> None:
    """Watch the pipe in a thread and run the module."""
    descriptor, module = int(sys.argv[1]), sys.argv[2]
    threading.Thread(target=_end_with_parent, args=(descriptor,), name="leash", daemon=True).start()
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_parent(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
