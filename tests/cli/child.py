"""A program for tests of processes: writes its pid to the file READY (a FIFO), then waits.

STUBBORN in its environment: SIGTERM does not end it. FAILS: it ends by itself.
"""

import os
import signal
import sys
from pathlib import Path

if "STUBBORN" in os.environ:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.stdout.write("a line\nhalf a line")
sys.stdout.flush()
if "FAILS" in os.environ:
    sys.exit("\nno way")
Path(os.environ["READY"]).write_text(f"{os.getpid()}\n")
while True:
    signal.pause()
