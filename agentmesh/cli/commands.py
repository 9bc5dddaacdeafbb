"""What the commands do: one call of the client, then its answer on the output."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from agentmesh.cards import Effect
from agentmesh.cli.exits import CommandFailed, ExitCode
from agentmesh.cli.output import Output, open_output
from agentmesh.cli.plan_files import STDIN, read_plan
from agentmesh.cli.show_agents import show_agents, show_skills
from agentmesh.cli.show_answer import exit_code_of_answer, show_answer, show_routed
from agentmesh.cli.show_run import show_record
from agentmesh.client import Answer, MeshClient, Mode
from agentmesh.client.wire_json import message_json

_MAX_QUESTION_BYTES = 32 * 1024
"""What the contract takes; one more is read, so that the server refuses it."""


def ask(
    address: str,
    question: str,
    *,
    raw: bool,
    as_json: bool,
    allowed_skills: Sequence[str],
    max_effect: Effect | None,
    timeout_seconds: float | None,
) -> ExitCode:
    question = _question(question)
    with MeshClient(address) as mesh, open_output(sys.stderr).waiting("asking the mesh ..."):
        answer = mesh.ask(
            question, raw=raw, allowed_skills=allowed_skills, max_effect=max_effect, timeout_seconds=timeout_seconds
        )
    return _answered(answer, as_json=as_json)


def plan(
    address: str,
    question: str,
    *,
    as_json: bool,
    allowed_skills: Sequence[str],
    max_effect: Effect | None,
    timeout_seconds: float | None,
) -> ExitCode:
    question = _question(question)
    with MeshClient(address) as mesh, open_output(sys.stderr).waiting("routing ..."):
        routed = mesh.plan(
            question, allowed_skills=allowed_skills, max_effect=max_effect, timeout_seconds=timeout_seconds
        )
    output = open_output()
    if as_json:
        output.json(message_json(routed.wire))
    else:
        show_routed(output, routed)
    return ExitCode.NO_AGENT if routed.mode is Mode.NONE else ExitCode.OK


def run_plan(
    address: str,
    plan_file: str,
    *,
    query: str,
    raw: bool,
    as_json: bool,
    max_effect: Effect | None,
    timeout_seconds: float | None,
) -> ExitCode:
    document = read_plan(plan_file)
    with MeshClient(address) as mesh, open_output(sys.stderr).waiting("running the plan ..."):
        answer = mesh.execute_plan(
            document, query=query, raw=raw, max_effect=max_effect, timeout_seconds=timeout_seconds
        )
    return _answered(answer, as_json=as_json)


def agents(address: str, *, skills: bool, as_json: bool, timeout_seconds: float | None) -> None:
    with MeshClient(address) as mesh:
        listing = mesh.list_agents(timeout_seconds=timeout_seconds)
    output = open_output()
    if as_json:
        output.json(message_json(listing.wire))
    elif skills:
        show_skills(output, listing.agents)
    else:
        show_agents(output, listing, datetime.now(UTC))


def show_run(address: str, run_id: str, *, step_id: str, as_json: bool, timeout_seconds: float | None) -> None:
    with MeshClient(address) as mesh:
        record = mesh.get_run(run_id, step_id=step_id, timeout_seconds=timeout_seconds)
    output: Output = open_output()
    if as_json:
        output.json(message_json(record.wire))
    else:
        show_record(output, record)


def _answered(answer: Answer, *, as_json: bool) -> ExitCode:
    output = open_output()
    if as_json:
        output.json(message_json(answer.wire))
    else:
        show_answer(output, answer)
    return exit_code_of_answer(answer)


def _question(question: str) -> str:
    if question != STDIN:
        return question
    content = sys.stdin.buffer.read(_MAX_QUESTION_BYTES + 1)
    try:
        return content.decode().strip()
    except UnicodeDecodeError as error:
        raise CommandFailed(f"standard input is no UTF-8 text, at byte {error.start}", code=ExitCode.USAGE) from None
