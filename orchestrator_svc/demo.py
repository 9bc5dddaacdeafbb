"""`make demo`: starts a mesh of real processes on free ports, asks it four questions, stops it.

Ends with 0 if every question had the outcome that it should have, else with 1.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agentmesh.cli.app import Invocation
from agentmesh.cli.exits import CommandFailed, ExitCode
from agentmesh.cli.options import TracesAt
from agentmesh.cli.output import Output, open_output
from agentmesh.cli.problems import explain_error
from agentmesh.cli.run import guarded
from agentmesh.cli.show_answer import duration, show_answer
from agentmesh.cli.trace_commands import show_trace_of
from agentmesh.client import Answer, MeshClient, Mode, RunOutcome
from agentmesh.errors import MeshError
from orchestrator_svc.commands.mesh import ANY_PORT, LocalMesh, MeshDidNotStart, process_environment
from orchestrator_svc.commands.progress import readiness_lines, stopped_line
from orchestrator_svc.commands.show_config import load_config
from orchestrator_svc.commands.traces import local_traces
from orchestrator_svc.config import Config

_STOP_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Question:
    """A question and how its run should end."""

    text: str
    outcome: RunOutcome


QUESTIONS: Final = (
    Question("What are the current system metrics?", RunOutcome.COMPLETE),
    Question("Get me the metrics and the trend analysis", RunOutcome.COMPLETE),
    Question("Check for anomalies, then if found, pull the config for that component", RunOutcome.COMPLETE),
    Question("Book me a flight to Lisbon", RunOutcome.NO_AGENT),
)


def main() -> ExitCode:
    """Run the demo.

    Raises:
        CommandFailed: The configuration is wrong, the mesh did not start, or a question did not end as it should.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it stops its processes on both signals
    loaded = load_config()
    output = open_output()
    output.line(("agentmesh demo: ", "bold"), _model(loaded.config))
    logs = Path(tempfile.mkdtemp(prefix="agentmesh-demo-"))
    advice = f"read the logs in {logs}"
    environment = process_environment()
    with local_traces(environment, loaded.telemetry, output, ANY_PORT) as traces:
        mesh = LocalMesh({**environment, **traces.environment}, logs)
        try:
            mesh.start(ANY_PORT, readiness_lines(output))
            failed = _ask_all(mesh.address, output, traces.url)
        except MeshDidNotStart as error:
            raise CommandFailed(f"the demo failed: {error}", details=error.lines, advice=advice) from None
        finally:
            stopped = mesh.stop(grace_seconds=_STOP_SECONDS)
    output.line()
    output.line(f"{stopped_line(stopped)}.")
    if failed is not None:
        both = f"{failed.advice}; or {advice}" if failed.advice else advice
        raise CommandFailed(f"the demo failed: {failed.message}", details=failed.details, advice=both)
    shutil.rmtree(logs, ignore_errors=True)
    output.line("Next: `make up`, then in another terminal")
    output.line(f"make ask Q={QUESTIONS[1].text!r}")
    return ExitCode.OK


def _model(config: Config) -> str:
    if not config.llm_configured:
        return "offline, without a key or a model: a planner by words, a renderer"
    if config.llm_azure_endpoint is not None:
        deployments = config.llm_azure_deployment or ", ".join(config.llm_models)
        return f"model {deployments} at {config.llm_azure_endpoint}"
    return f"model {', '.join(config.llm_models)} at {config.llm_base_url or 'api.openai.com'}"


def _ask_all(address: str, output: Output, trace_api: str) -> CommandFailed | None:
    """Ask the questions; return what went wrong with the first one that did not end as it should.

    Where traces are kept, that of the question with the most steps is drawn at the end.
    """
    answers: list[tuple[Question, Answer]] = []
    with MeshClient(address) as mesh:
        for number, question in enumerate(QUESTIONS, start=1):
            output.line()
            output.line((f"== {number}/{len(QUESTIONS)}: {question.text}", "bold cyan"))
            try:
                answer = mesh.ask(question.text)
            except MeshError as error:
                failed = explain_error(error)
                return CommandFailed(
                    f"question {number}: {failed.message}", details=failed.details, advice=failed.advice
                )
            show_answer(output, answer)
            answers.append((question, answer))
            if answer.outcome is not question.outcome:
                return CommandFailed(
                    f"question {number} ended {answer.outcome}, and should have ended {question.outcome}"
                )
    _summarize(output, answers)
    question, answer = max(answers, key=lambda asked: (len(asked[1].steps), asked[1].mode is Mode.SEQUENTIAL))
    if trace_api:
        output.heading("who did what when", question.text)
        show_trace_of(output, TracesAt(trace_api, ui=""), answer.trace_id)
    return None


def _summarize(output: Output, answers: Sequence[tuple[Question, Answer]]) -> None:
    output.heading("summary")
    output.table(
        ["question", "mode", "outcome", "LLM calls", "total", "overhead"],
        [
            [
                question.text,
                answer.mode,
                answer.outcome,
                str(answer.usage.llm_calls),
                duration(answer.timings.total),
                duration(answer.timings.overhead),
            ]
            for question, answer in answers
        ],
    )


if __name__ == "__main__":
    sys.exit(guarded(main, Invocation()))
