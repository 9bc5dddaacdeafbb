"""Runs one command line: every way in which a command can end becomes an exit code here, and nothing shows a traceback
unless `--debug` asks for it.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Final, TextIO

from agentmesh.cli.app import Invocation, build_command
from agentmesh.cli.exits import CommandFailed, ExitCode, OutputClosed
from agentmesh.grpc_core_log import silence

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def run(arguments: Sequence[str] | None) -> int:
    """Run a command line (without the program's name; by default the process's own) and return its exit code."""
    invocation = Invocation()

    def command() -> int:
        program = build_command(invocation)
        try:
            program(args=None if arguments is None else list(arguments), prog_name="agentmesh", standalone_mode=True)
        except SystemExit as done:  # how the command-line library always ends
            return done.code if isinstance(done.code, int) else int(done.code is not None)
        return ExitCode.OK

    return guarded(command, invocation)


def guarded(action: Callable[[], int], invocation: Invocation) -> int:
    """Do something that writes for people, and return its exit code, whatever happens."""
    for stream in (sys.stdout, sys.stderr):
        _take_any_text(stream)
    silence(os.environ)
    try:
        code = _reported(action, invocation)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except (OutputClosed, BrokenPipeError):
        _forget_output()
        return ExitCode.OUTPUT_CLOSED
    return code


def _reported(action: Callable[[], int], invocation: Invocation) -> int:
    try:
        return action()
    except (OutputClosed, BrokenPipeError):
        raise
    except CommandFailed as failed:
        return _report(failed)
    except Exception as error:  # noqa: BLE001 - the edge: a bug of ours is said in one line
        return _report(_explained(error, debug=invocation.debug))


def _explained(error: Exception, *, debug: bool) -> CommandFailed:
    from agentmesh.cli.problems import explain_error  # noqa: PLC0415 - needs gRPC, as whatever failed did
    from agentmesh.errors import MeshError  # noqa: PLC0415

    if debug:
        traceback.print_exc()
    if isinstance(error, MeshError):
        return explain_error(error)
    if isinstance(error, OSError) and error.errno in _NO_ROOM and error.filename is None:  # a file of ours has a name
        return CommandFailed(f"the output cannot be written: {error.strerror}")
    return CommandFailed(
        f"a bug of this command: {type(error).__name__}: {error}",
        advice="" if debug else "run `agentmesh --debug ...` to see where, and report it",
    )


def _report(failed: CommandFailed) -> ExitCode:
    from agentmesh.cli.output import visible  # noqa: PLC0415

    lines = [f"error: {failed.message}", *(f"  {detail}" for detail in failed.details)]
    if failed.advice:
        lines.append(f"what to do: {failed.advice}")
    sys.stderr.write(visible("\n".join(lines)) + "\n")
    return failed.code


def _take_any_text(stream: TextIO) -> None:
    """A terminal without UTF-8, or half a character from a command line, must not end in a traceback."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _forget_output() -> None:
    """The interpreter flushes stdout once more at its end, which would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
