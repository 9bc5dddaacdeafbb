"""Runs a module as its own program, and ends it when the process that started it has gone, however that ended.

    python -m orchestrator_svc.commands.leash FD GRACE_SECONDS MODULE ARGUMENT...

FD is the reading end of a pipe whose writing end only the parent has: its end is the end of the parent, SIGKILL
included. The module then gets SIGTERM, on which it drains, and SIGKILL after the grace: nobody waits for its answers
any more. This needs no help of the system beyond pipes, so it works on Linux and macOS alike.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time


def main() -> None:
    """Watch the pipe in a thread and run the module."""
    descriptor, grace_seconds, module, arguments = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4:]
    threading.Thread(target=_end_with_parent, args=(descriptor, grace_seconds), name="leash", daemon=True).start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_parent(descriptor: int, grace_seconds: float) -> None:
    while os.read(descriptor, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_seconds)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
