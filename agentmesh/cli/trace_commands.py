"""What the commands about traces do: find out which trace, read it where traces are read, show it."""

from __future__ import annotations

import re
import sys
from typing import Final

from agentmesh import errors
from agentmesh.addresses import each_of
from agentmesh.cli.exits import CommandFailed, ExitCode
from agentmesh.cli.options import Target, TracesAt
from agentmesh.cli.output import Output, open_output
from agentmesh.cli.show_trace import page_of, show_trace, trace_document
from agentmesh.client import MeshClient, RunRecord
from agentmesh.traces.reader import TraceReader, TracesUnreachable, TracesUnreadable, TraceUnknown
from agentmesh.traces.settling import Settled, settled

_ID: Final = re.compile(r"[0-9a-fA-F]{32}\Z")
_ELSEWHERE: Final = "--trace-api or AGENTMESH_TRACE_API_URL names where: the address of a Jaeger, or what `up` says"


def trace(target: Target, traces_at: TracesAt, given: str, *, as_json: bool, timeout_seconds: float | None) -> None:
    """Show the trace of a run; what is no id of a run may be that of a trace."""
    given = given.lower() if _ID.match(given) else given
    try:
        trace_id = _trace_of_run(target, given, timeout_seconds)
        found = read_trace(traces_at, trace_id)
    except (errors.RunNotFound, errors.Unreachable):
        known = _known(traces_at, given)
        if known is None:
            raise
        found = known
    output = open_output()
    if as_json:
        output.json(trace_document(found))
    else:
        show_trace(output, found, ui_url=traces_at.ui)


def read_trace(traces_at: TracesAt, trace_id: str) -> Settled:
    """Wait until it is whole, and return it.

    Raises:
        CommandFailed: It cannot be read.
    """
    try:
        with open_output(sys.stderr).waiting("reading the trace ..."):
            return settled(TraceReader(traces_at.api), trace_id)
    except TracesUnreachable as error:
        raise CommandFailed(
            str(error),
            advice=f"`agentmesh up` serves the traces of its mesh; {_ELSEWHERE}",
            details=_links(traces_at, trace_id),
            code=ExitCode.UNAVAILABLE,
        ) from None
    except TracesUnreadable as error:
        raise CommandFailed(
            str(error), advice=_ELSEWHERE, details=_links(traces_at, trace_id), code=ExitCode.USAGE
        ) from None
    except TraceUnknown as error:
        raise CommandFailed(
            str(error),
            advice="only the latest traces are kept there; and it has those alone that are exported to it, and sampled",
            details=_links(traces_at, trace_id),
            code=ExitCode.USAGE,
        ) from None


def show_trace_of(output: Output, traces_at: TracesAt, trace_id: str) -> None:
    """Show the trace of a run that was just answered, or failed; what keeps it from being shown is only said."""
    try:
        show_trace(output, read_trace(traces_at, _named(trace_id, "this run")), ui_url=traces_at.ui)
    except CommandFailed as failed:
        aside = open_output(sys.stderr)
        aside.line(("no trace: ", "yellow"), failed.message)
        for detail in failed.details:
            aside.line("  ", detail)
        aside.line("what to do: ", failed.advice)


def _trace_of_run(target: Target, run_id: str, timeout_seconds: float | None) -> str:
    record = _record_of_run(target, run_id, timeout_seconds)
    known = record.answer.trace_id if record.answer is not None else ""
    told = record.error.metadata.get("trace_id", "") if record.error is not None else ""
    return _named(known or told, f"run {run_id}")


def _record_of_run(target: Target, run_id: str, timeout_seconds: float | None) -> RunRecord:
    """Ask one orchestrator after the other: a run is known to the one that answered it."""
    missed: list[errors.MeshError] = []
    for address in each_of(target.address):
        try:
            with MeshClient(address, token=target.token) as mesh:
                return mesh.get_run(run_id, timeout_seconds=timeout_seconds)
        except (errors.RunNotFound, errors.Unreachable) as error:
            missed.append(error)
    raise min(missed, key=lambda error: isinstance(error, errors.RunNotFound))  # who was not reached may know it


def _named(trace_id: str, run: str) -> str:
    if trace_id:
        return trace_id
    raise CommandFailed(
        f"{run} has no trace: its orchestrator exports none",
        advice="start it with `agentmesh up`, or with OTEL_EXPORTER_OTLP_ENDPOINT and without OTEL_SDK_DISABLED",
        code=ExitCode.USAGE,
    )


def _known(traces_at: TracesAt, given: str) -> Settled | None:
    """The trace with this id, if there is one where traces are read."""
    if not _ID.match(given):
        return None
    try:
        TraceReader(traces_at.api).trace(given)
    except (TraceUnknown, TracesUnreadable):
        return None
    return read_trace(traces_at, given)


def _links(traces_at: TracesAt, trace_id: str) -> list[str]:
    return [page_of(trace_id, traces_at.ui)] if traces_at.ui else []
