"""Child processes: they end when they are told to, and with their parent however that ends; their logs can be read."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from orchestrator_svc.commands.processes import Child, LogFollower, Processes

LONG_SECONDS = 40.0
"""Not reached unless a promise is broken."""


def _started(processes: Processes, directory: Path, name: str, **environment: str) -> Child:
    """Return once it runs: a FIFO is read when somebody writes to it."""
    ready = directory / name
    os.mkfifo(ready)
    child = processes.start(name, "tests.cli.child", {**os.environ, **environment, "READY": str(ready)})
    assert int(ready.read_text()) == child.process.pid
    return child


def _never() -> bool:
    return False


def test_children_are_stopped_and_counted(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    first, second = _started(processes, tmp_path, "first"), _started(processes, tmp_path, "second")
    assert processes.dead() == []
    assert processes.stop([[first]], grace_seconds=LONG_SECONDS, hurry=_never) == 2
    assert [child.ending() for child in (first, second)] == ["was ended by SIGTERM"] * 2


def test_a_group_is_stopped_only_after_the_one_before_it(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    first, second = _started(processes, tmp_path, "first", STUBBORN="1"), _started(processes, tmp_path, "second")
    seen: list[bool] = []

    def impatient() -> bool:
        seen.append(second.running)
        return len(seen) == 3

    processes.stop([[first]], grace_seconds=LONG_SECONDS, hurry=impatient)
    assert seen[:3] == [True, True, True]
    assert first.ending() == "was ended by SIGKILL"


def test_a_child_that_does_not_stop_is_killed_after_the_grace(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    child = _started(processes, tmp_path, "stubborn", STUBBORN="1")
    processes.stop([], grace_seconds=0.1, hurry=_never)
    assert child.ending() == "was ended by SIGKILL"


def test_who_is_in_a_hurry_waits_for_nobody(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    child = _started(processes, tmp_path, "stubborn", STUBBORN="1")
    processes.stop([[child]], grace_seconds=3600, hurry=lambda: True)
    assert child.ending() == "was ended by SIGKILL"


def test_a_child_that_fails_is_dead_and_its_last_lines_say_why(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    child = processes.start("failing", "tests.cli.child", {**os.environ, "FAILS": "1"})
    child.process.wait()
    assert processes.dead() == [child]
    assert child.ending() == "ended with exit code 1"
    assert child.last_lines() == ["a line", "half a line", "no way"]
    assert processes.stop([], grace_seconds=LONG_SECONDS, hurry=_never) == 0


def test_a_module_that_is_not_there_is_a_dead_child(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    child = processes.start("nowhere", "tests.cli.nowhere", os.environ)
    child.process.wait()
    assert "No module named" in child.last_lines()[-1]
    processes.stop([], grace_seconds=LONG_SECONDS, hurry=_never)


def test_lines_of_a_log_are_given_once_and_whole(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    child = _started(processes, tmp_path, "one")
    follower = LogFollower()
    assert follower.new_lines(child) == ["a line"]
    assert follower.new_lines(child) == []
    with child.log.open("ab") as log:
        log.write(b", the rest\nmore")
    assert follower.new_lines(child) == ["half a line, the rest"]
    processes.stop([], grace_seconds=LONG_SECONDS, hurry=_never)


def test_no_child_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        os.mkfifo(tmp_path / name)
    parent = subprocess.Popen([sys.executable, "-m", "tests.cli.parent", str(tmp_path)])
    children = [psutil.Process(int((tmp_path / name).read_text())) for name in ("one", "two")]
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=LONG_SECONDS)
    assert alive == []
