"""What the trace of a run tells: its plan, its steps, its answer, and how each of them ended. Decides nothing.

A run is one span, `invoke_workflow`; routing, every step and the writing of the answer are its children. A step is
linked to those that it waited for, and the answer to all that it is made of. docs/observability.md shows whole traces.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from agentmesh.reasons import reason_of
from agentmesh.telemetry import names
from agentmesh.telemetry.content import captures_content
from agentmesh.telemetry.rpc import Cancelling, cancelling
from agentmesh.telemetry.spans import failed, failure_told, link_to, span
from orchestrator_svc.app.run import Run, RunState
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason
from orchestrator_svc.core.plan import Step

_WORKFLOW = "ask"
_BROKEN = frozenset({StepOutcome.FAILED, StepOutcome.TIMED_OUT})


def served_by(run: Run, *, replayed: bool) -> None:
    """Say on the rpc that is being served which run answers it; one that another request began is linked."""
    current = trace.get_current_span()
    current.set_attribute(names.RUN_ID, run.id)
    if current.get_span_context() != run.trace.begun_by and link_to(run.trace.span or run.trace.begun_by):
        current.set_attribute(names.RUN_REPLAYED if replayed else names.RUN_JOINED, True)  # noqa: FBT003


@contextmanager
def workflow(run: Run) -> Iterator[None]:
    """The span of the whole run, which has ended when the block has."""
    attributes: dict[str, AttributeValue] = {
        names.GEN_AI_OPERATION: "invoke_workflow",
        names.GEN_AI_WORKFLOW_NAME: _WORKFLOW,
        names.RUN_ID: run.id,
    }
    if run.request.conversation_id:
        attributes[names.GEN_AI_CONVERSATION_ID] = run.request.conversation_id
    token = cancelling.set(Cancelling())
    try:
        with span(names.WORKFLOW_SPAN, attributes=attributes) as current:
            run.trace.span = current.get_span_context()
            try:
                yield
            finally:
                _tell_end(run, current)
    finally:
        cancelling.reset(token)


def _tell_end(run: Run, current: Span) -> None:
    current.set_attribute(names.LLM_CALLS, run.ledger.llm_calls)
    if run.plan is not None:
        current.set_attribute(names.MODE, run.plan.mode.lower())
        current.set_attribute(names.PLAN_STEPS, len(run.plan.steps))
    if run.answer_source is not None:
        current.set_attribute(names.ANSWER_SOURCE, run.answer_source.lower())
    if run.state is RunState.FINISHED and run.outcome is not None:
        current.set_attribute(names.OUTCOME, run.outcome.lower())
    else:
        current.set_attribute(names.OUTCOME, run.state.lower())
    if run.state is RunState.FAILED and run.error is not None:
        failed(current, reason_of(run.error))
    if captures_content():
        current.set_attribute(names.QUESTION, run.question.query)
        current.set_attribute(names.ANSWER, run.answer)


@contextmanager
def planning(run: Run, catalog: Catalog) -> Iterator[None]:
    """The span of everything that is done for a plan, whoever makes it."""
    attributes = {names.GEN_AI_OPERATION: "plan", names.CATALOG_FINGERPRINT: catalog.fingerprint}
    with span(names.PLAN_SPAN, attributes=attributes) as current, failure_told(current):
        yield
        if run.plan is not None and run.plan_source is not None and current.is_recording():
            current.set_attribute(names.PLAN_SOURCE, run.plan_source.lower())
            current.set_attribute(names.PLAN_HASH, run.plan.hash)
            current.set_attribute(names.MODE, run.plan.mode.lower())
            current.set_attribute(names.PLAN_STEPS, len(run.plan.steps))


@contextmanager
def invocation(run: Run, step: Step) -> Iterator[Callable[[Outcome], None]]:
    """The span of a step that has been started, with all its items and attempts; gives what is told its outcome."""
    attributes: dict[str, AttributeValue] = {
        names.GEN_AI_OPERATION: "invoke_agent",
        names.GEN_AI_AGENT_NAME: step.skill.agent,
        names.GEN_AI_AGENT_VERSION: step.skill.agent_version,
        names.GEN_AI_TOOL_NAME: step.skill.name,
        names.GEN_AI_CALLER_TYPE: "workflow",
        names.STEP_ID: step.id,
    }
    links = [run.trace.steps[needed] for needed in step.needs if needed in run.trace.steps]
    name = names.INVOKE_AGENT_SPAN.format(agent=step.skill.agent)
    with span(name, kind=SpanKind.CLIENT, attributes=attributes, links=links) as current:
        run.trace.steps[step.id] = current.get_span_context()
        with _siblings_cancelled_on_purpose(), failure_told(current, outcome=names.STEP_OUTCOME):
            yield lambda outcome: _tell_outcome(current, outcome)


def _tell_outcome(current: Span, outcome: Outcome) -> None:
    current.set_attribute(names.STEP_OUTCOME, outcome.kind.lower())
    current.set_attribute(names.STEP_ATTEMPTS, outcome.attempts)
    if outcome.kind in _BROKEN:
        current.set_attribute(names.STEP_REASON, str(outcome.reason))
        failed(current, str(outcome.reason))


def retried(attempt: int, reason: StepReason | None, pause_seconds: float) -> None:
    """Note on the step that another attempt follows one that failed."""
    attributes: dict[str, AttributeValue] = {
        names.ATTEMPT: attempt,
        names.STEP_REASON: str(reason),
        names.RETRY_PAUSE_SECONDS: pause_seconds,
    }
    trace.get_current_span().add_event(names.RETRY_EVENT, attributes)


def condition_met(step: Step) -> None:
    """Note on the run that the condition of a step was true."""
    _tell_condition(step, met=True)


def not_called(step: Step, outcome: Outcome) -> None:
    """Note on the run how a step ended that was never started."""
    if outcome.reason is StepReason.CONDITION_FALSE:
        _tell_condition(step, met=False)
    event = names.STEP_SKIPPED_EVENT if outcome.kind is StepOutcome.SKIPPED else names.STEP_FAILED_EVENT
    attributes = {names.STEP_ID: step.id, names.STEP_REASON: str(outcome.reason)}
    if outcome.because_of:
        attributes[names.STEP_BECAUSE_OF] = ",".join(outcome.because_of)
    trace.get_current_span().add_event(event, attributes)


def _tell_condition(step: Step, *, met: bool) -> None:
    attributes: dict[str, AttributeValue] = {names.STEP_ID: step.id, names.CONDITION_MET: met}
    trace.get_current_span().add_event(names.CONDITION_EVENT, attributes)


@contextmanager
def writing(run: Run) -> Iterator[None]:
    """The span of the answer, linked to every step that was started."""
    with span(names.SYNTHESIZE_SPAN, links=list(run.trace.steps.values())) as current, failure_told(current):
        yield
        if run.answer_source is not None:
            current.set_attribute(names.ANSWER_SOURCE, run.answer_source.lower())


@contextmanager
def _siblings_cancelled_on_purpose() -> Iterator[None]:
    """Where the block raises, what else the run has in flight is cancelled by us, which is no error of anybody."""
    try:
        yield
    except asyncio.CancelledError:
        raise
    except BaseException:
        if (siblings := cancelling.get()) is not None:
            siblings.on_purpose = True
        raise
