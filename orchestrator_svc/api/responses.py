"""Values of the use cases become messages. Results are converted only as far as they fit, large ones off the loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from agentmesh.errors import StepNotFound
from agentmesh.plan_messages import plan_from_json
from agentmesh.transport import to_status, to_struct_off_loop
from agentmesh.v1 import orchestrator_service_pb2, run_event_pb2, run_pb2, usage_pb2
from orchestrator_svc.api.enum_values import (
    answer_source_value,
    mode_value,
    plan_source_value,
    run_outcome_value,
    run_state_value,
    step_outcome_value,
    step_reason_value,
)
from orchestrator_svc.api.times import duration, timestamp
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.run import Run, RunState, StepRecord, Timings
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.outcome import Outcome
from orchestrator_svc.core.plan import Step

MAX_RESULTS_BYTES: Final = 3 * 1024 * 1024
"""Results in one response, serialized."""
MAX_RESPONSE_BYTES: Final = 15 * 256 * 1024
"""A response with its plan and all that is said of steps; clients receive 4 MiB by default."""


async def ask_response(run: Run, *, results: bool, replayed: bool = False) -> run_pb2.AskResponse:
    """The answer of a run, or what is known of it so far.

    Args:
        run: The run.
        results: Whether to carry the results of its steps, as far as they fit in 3 MiB: the largest are left out first.
        replayed: Whether it is the answer to an earlier request.
    """
    plan = run.plan
    response = run_pb2.AskResponse(
        run_id=run.id,
        trace_id=run.trace.id,
        answer=run.answer,
        usage=usage_message(run.ledger),
        timings=_timings(run.timings),
        replayed=replayed,
    )
    _put_plan(response, run)
    if plan is not None:
        ended = [step for step in plan.steps if step.id in run.steps]
        response.steps.extend(step_message(step, run.steps[step.id]) for step in ended)
        if results:
            carriers = zip(response.steps, ended, strict=True)
            places = [place for message, step in carriers for place in _places(message, run.steps[step.id].outcome)]
            await _carry_what_fits(places, MAX_RESPONSE_BYTES - response.ByteSize())
    if run.outcome is not None:
        response.outcome = run_outcome_value(run.outcome)
    if run.answer_source is not None:
        response.answer_source = answer_source_value(run.answer_source)
    return response


async def run_message(run: Run, step_id: str = "", item_index: int | None = None) -> run_pb2.Run:
    """A run with its results; only that of one step, or of one item of it, if it is named.

    Raises:
        StepNotFound: The plan has no such step, or the step no such item.
    """
    message = run_pb2.Run(
        run_id=run.id,
        state=run_state_value(run.state),
        query=run.question.query,
        conversation_id=run.request.conversation_id,
        started_at=timestamp(run.started_at),
        result=await _one_step(run, step_id, item_index) if step_id else await ask_response(run, results=True),
    )
    if run.ended_at is not None:
        message.ended_at.CopyFrom(timestamp(run.ended_at))
    if run.state is RunState.FAILED and run.error is not None:
        message.error.CopyFrom(to_status(run.error))
    return message


def plan_response(run: Run, catalog: Catalog) -> orchestrator_service_pb2.PlanResponse:
    """What would run for a question, and the catalog that it was made for."""
    response = orchestrator_service_pb2.PlanResponse(
        usage=usage_message(run.ledger), catalog_fingerprint=catalog.fingerprint
    )
    _put_plan(response, run)
    return response


def planned_message(run: Run) -> run_event_pb2.RunPlanned:
    """The plan that a run has."""
    message = run_event_pb2.RunPlanned()
    _put_plan(message, run)
    return message


def _put_plan(
    message: run_pb2.AskResponse | orchestrator_service_pb2.PlanResponse | run_event_pb2.RunPlanned, run: Run
) -> None:
    """The plan of a run and who made it, as far as there is one."""
    message.planner = run.planner
    if run.plan is not None:
        message.mode = mode_value(run.plan.mode)
        message.plan.CopyFrom(plan_from_json(run.plan.to_json()))
    if run.plan_source is not None:
        message.plan_source = plan_source_value(run.plan_source)


def usage_message(ledger: Ledger) -> usage_pb2.Usage:
    """What a run has cost so far."""
    return usage_pb2.Usage(
        llm_calls=ledger.llm_calls,
        llm_requests=ledger.llm_requests,
        models=ledger.models,
        input_tokens=ledger.input_tokens,
        output_tokens=ledger.output_tokens,
        cost_usd=ledger.cost_usd,
        agent_calls=ledger.agent_calls,
        agents=usage_pb2.AgentUsage(
            llm_calls=ledger.agents.llm_calls,
            input_tokens=ledger.agents.input_tokens,
            output_tokens=ledger.agents.output_tokens,
            cost_usd=ledger.agents.cost_usd,
        ),
    )


async def _one_step(run: Run, step_id: str, item_index: int | None) -> run_pb2.AskResponse:
    if run.plan is None or step_id not in run.plan.by_id:
        raise StepNotFound(f"run {run.id} has no step `{step_id}`")
    response = run_pb2.AskResponse(run_id=run.id)
    record = run.steps.get(step_id)
    if record is None:  # it has not ended
        return response
    response.steps.append(step_message(run.plan.by_id[step_id], record))
    message = response.steps[0]
    if item_index is not None:
        await _carry_item(message, record.outcome, item_index)
    elif record.outcome.items is not None:
        await _carry_what_fits(list(_places(message, record.outcome)), MAX_RESPONSE_BYTES - response.ByteSize())
    else:
        for place in _places(message, record.outcome):
            await place.carry()
    return response


async def _carry_item(message: run_pb2.StepResult, outcome: Outcome, index: int) -> None:
    """Leave only this item, with its result."""
    items = outcome.items or ()
    if index >= len(items):
        raise StepNotFound(f"step `{message.step_id}` has no item {index}")
    del message.items[:]
    message.items.append(_item(index, items[index]))
    if items[index].result is not None:
        await _Place(message.items[0], message, items[index]).carry()


def step_message(step: Step, record: StepRecord) -> run_pb2.StepResult:
    """Without results."""
    outcome = record.outcome
    message = run_pb2.StepResult(
        step_id=step.id,
        skill=step.skill.id,
        outcome=step_outcome_value(outcome.kind),
        reason=step_reason_value(outcome.reason),
        message=outcome.message,
        code=outcome.code,
        agent_reason=outcome.agent_reason,
        because_of=outcome.because_of,
        attempts=outcome.attempts,
        endpoint=outcome.endpoint,
        ended_at=timestamp(record.ended_at),
        items=[_item(index, item) for index, item in enumerate(outcome.items or ())],
        effect_unknown=outcome.effect_unknown,
        result_bytes=outcome.result_bytes,
    )
    if record.started_at is not None:
        message.started_at.CopyFrom(timestamp(record.started_at))
    return message


def _item(index: int, outcome: Outcome) -> run_pb2.ItemResult:
    return run_pb2.ItemResult(
        index=index,
        outcome=step_outcome_value(outcome.kind),
        reason=step_reason_value(outcome.reason),
        message=outcome.message,
        code=outcome.code,
        agent_reason=outcome.agent_reason,
        attempts=outcome.attempts,
        endpoint=outcome.endpoint,
        effect_unknown=outcome.effect_unknown,
        result_bytes=outcome.result_bytes,
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a result goes, in the message of a step or of one of its items."""

    message: run_pb2.StepResult | run_pb2.ItemResult
    step: run_pb2.StepResult
    outcome: Outcome

    async def carry(self) -> int:
        """Put the result there; returns its size on the wire."""
        assert self.outcome.result is not None
        result = await to_struct_off_loop(self.outcome.result, self.outcome.result_bytes)
        self.message.result.CopyFrom(result)
        return result.ByteSize()

    def omit(self) -> None:
        self.message.ClearField("result")
        self.message.result_omitted = self.step.result_omitted = True


def _places(message: run_pb2.StepResult, outcome: Outcome) -> Iterator[_Place]:
    """The places of the results that a step has."""
    if outcome.result is not None:
        yield _Place(message, message, outcome)
    for item_message, item in zip(message.items, outcome.items or (), strict=True):
        if item.result is not None:
            yield _Place(item_message, message, item)


async def _carry_what_fits(places: list[_Place], room: int) -> None:
    """Carry the smallest results, as many as fit; the largest are left out, and not even converted."""
    left = min(room, MAX_RESULTS_BYTES)
    for place in sorted(places, key=lambda place: place.outcome.result_bytes):
        if left >= 0:
            left -= await place.carry()
        if left < 0:
            place.omit()


def _timings(timings: Timings) -> run_pb2.Timings:
    return run_pb2.Timings(
        total=duration(timings.total),
        route=duration(timings.route),
        execute=duration(timings.execute),
        synthesize=duration(timings.synthesize),
        critical_path=duration(timings.critical_path),
        overhead=duration(timings.overhead),
    )
