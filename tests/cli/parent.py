"""A program for tests of processes: starts two children with logs in the directory that it is given, then waits.

Each writes its pid to a FIFO of its name there.
"""

import os
import signal
import sys
from pathlib import Path

from orchestrator_svc.commands.processes import Processes

directory = Path(sys.argv[1])
processes = Processes(directory, orphan_grace_seconds=0.2)
processes.start("one", "tests.cli.child", {**os.environ, "READY": str(directory / "one")})
processes.start("two", "tests.cli.child", {**os.environ, "READY": str(directory / "two"), "STUBBORN": "1"})
while True:
    signal.pause()
