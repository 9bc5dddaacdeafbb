"""What the commands do: one call of the client, then its answer on the output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Unpack

from agentmesh.cli.documents import STDIN
from agentmesh.cli.exits import CommandFailed, ExitCode
from agentmesh.cli.follow import Form, follow
from agentmesh.cli.options import DEFAULT_ADDRESS, Cache, Target, TracesAt
from agentmesh.cli.output import Output, open_output
from agentmesh.cli.plan_files import read_plan
from agentmesh.cli.show_answer import exit_code_of_answer, show_answer, show_routed
from agentmesh.client import Answer, AskOptions, Budget, CacheMode, ExecuteOptions, MeshClient, Mode, RoutingOptions
from agentmesh.client.wire_json import message_json
from agentmesh.errors import MeshError

_MAX_QUESTION_BYTES: Final = 32 * 1024
"""What the contract takes; one more is read, so that the server refuses it."""


def ask(
    target: Target,
    question: str,
    *,
    as_json: bool,
    events: bool,
    traces_at: TracesAt | None,
    timeout_seconds: float | None,
    **options: Unpack[AskOptions],
) -> ExitCode:
    """Ask; with `traces_at` the trace is drawn below the answer, or above the error."""
    question = _question(question)
    form = form_of(as_json=as_json, events=events)
    with _tracing_failure(traces_at), MeshClient(target.address, token=target.token) as mesh:
        answer = follow(
            mesh.ask_stream(question, timeout_seconds=timeout_seconds, **options),
            form,
            on_the_way="asking the mesh ...",
            on_leaving=_way_back(target) if options.get("keep_running") else None,
        )
    assert answer is not None  # read from the beginning, a stream has the answer or raises
    return _answered_and_traced(answer, form, traces_at)


def plan(
    target: Target,
    question: str,
    *,
    as_json: bool,
    timeout_seconds: float | None,
    **options: Unpack[RoutingOptions],
) -> ExitCode:
    question = _question(question)
    with MeshClient(target.address, token=target.token) as mesh, open_output(sys.stderr).waiting("routing ..."):
        routed = mesh.plan(question, timeout_seconds=timeout_seconds, **options)
    output = open_output()
    if as_json:
        output.json(message_json(routed.wire))
    else:
        show_routed(output, routed)
    return ExitCode.NO_AGENT if routed.mode is Mode.NONE else ExitCode.OK


def run_plan(
    target: Target,
    plan_file: str,
    *,
    as_json: bool,
    traces_at: TracesAt | None,
    timeout_seconds: float | None,
    **options: Unpack[ExecuteOptions],
) -> ExitCode:
    document = read_plan(plan_file)
    with (
        _tracing_failure(traces_at),
        MeshClient(target.address, token=target.token) as mesh,
        open_output(sys.stderr).waiting("running the plan ..."),
    ):
        answer = mesh.execute_plan(document, timeout_seconds=timeout_seconds, **options)
    return _answered_and_traced(answer, form_of(as_json=as_json), traces_at)


def answered(answer: Answer, form: Form, output: Output | None = None) -> ExitCode:
    """Write an answer, unless it was the last of the events that have been written, and return its exit code."""
    output = output or open_output()
    if form is Form.JSON:
        output.json(message_json(answer.wire))
    elif form is Form.TEXT:
        show_answer(output, answer)
    return exit_code_of_answer(answer)


def form_of(*, as_json: bool, events: bool = False) -> Form:
    return Form.JSON if as_json else Form.EVENTS if events else Form.TEXT


def budget(llm_calls: int | None, tokens: int | None, cost_usd: float | None, agent_calls: int | None) -> Budget | None:
    """Return what may be spent; None where nothing was said about it."""
    given = Budget(llm_calls=llm_calls, tokens=tokens, cost_usd=cost_usd, agent_calls=agent_calls)
    return None if given == Budget() else given


def cache_mode(given: Cache | None) -> CacheMode | None:
    """Return how to use the plan cache; None where nothing was said about it."""
    return None if given is None else CacheMode(given)


def _answered_and_traced(answer: Answer, form: Form, traces_at: TracesAt | None) -> ExitCode:
    output = open_output()
    code = answered(answer, form, output)
    if traces_at is not None:
        _show_trace(output, traces_at, answer.trace_id)
    return code


@contextmanager
def _tracing_failure(traces_at: TracesAt | None) -> Iterator[None]:
    try:
        yield
    except MeshError as error:
        if traces_at is not None and (trace_id := error.metadata.get("trace_id")):
            _show_trace(open_output(), traces_at, trace_id)
        raise


def _show_trace(output: Output, traces_at: TracesAt, trace_id: str) -> None:
    from agentmesh.cli.trace_commands import show_trace_of  # noqa: PLC0415 - only where it is asked for

    show_trace_of(output, traces_at, trace_id)


def _way_back(target: Target) -> Callable[[str], str]:
    where = "" if target.address == DEFAULT_ADDRESS else f" --address {target.address}"
    return lambda run_id: f"the run goes on; come back with: agentmesh runs watch {run_id}{where}"


def _question(question: str) -> str:
    if question != STDIN:
        return question
    content = sys.stdin.buffer.read(_MAX_QUESTION_BYTES + 1)
    try:
        return content.decode().strip()
    except UnicodeDecodeError as error:
        raise CommandFailed(f"standard input is no UTF-8 text, at byte {error.start}", code=ExitCode.USAGE) from None
