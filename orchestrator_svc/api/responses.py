"""Values of the use cases become messages. Large results are converted off the event loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agentmesh.jsonvalues import Json
from agentmesh.transport import to_status, to_struct, to_struct_off_loop, to_value
from agentmesh.v1 import orchestrator_service_pb2, plan_pb2, run_pb2, usage_pb2
from orchestrator_svc.api.times import duration, timestamp
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.run import Run, RunState, StepRecord, Timings
from orchestrator_svc.core.outcome import Outcome
from orchestrator_svc.core.plan import Plan, Step

MAX_RESULTS_BYTES: Final = 3 * 1024 * 1024
"""Results in one response, serialized; clients receive 4 MiB by default."""


async def ask_response(run: Run, *, results: bool) -> orchestrator_service_pb2.AskResponse:
    """The answer of a run, or what is known of it so far.

    Args:
        run: The run.
        results: Whether to carry the results of its steps, as far as they fit in 3 MiB: the largest are left out first.
    """
    plan = run.plan
    response = orchestrator_service_pb2.AskResponse(
        run_id=run.id,
        answer=run.answer,
        planner=run.planner,
        usage=usage_message(run.ledger),
        timings=_timings(run.timings),
    )
    if plan is not None:
        response.mode = plan_pb2.Mode.Value(f"MODE_{plan.mode}")
        response.plan.CopyFrom(plan_message(plan))
        ended = [step for step in plan.steps if step.id in run.steps]
        response.steps.extend([await _step(step, run.steps[step.id], results=results) for step in ended])
    if run.plan_source is not None:
        response.plan_source = plan_pb2.PlanSource.Value(f"PLAN_SOURCE_{run.plan_source}")
    if run.outcome is not None:
        response.outcome = run_pb2.RunOutcome.Value(f"RUN_OUTCOME_{run.outcome}")
    if run.answer_source is not None:
        response.answer_source = run_pb2.AnswerSource.Value(f"ANSWER_SOURCE_{run.answer_source}")
    _keep_results(response, MAX_RESULTS_BYTES)
    return response


async def run_message(run: Run, step_id: str = "") -> orchestrator_service_pb2.Run:
    """A run with its results; only those of one step if it is named."""
    message = orchestrator_service_pb2.Run(
        run_id=run.id,
        state=run_pb2.RunState.Value(f"RUN_STATE_{run.state}"),
        query=run.question.query,
        started_at=timestamp(run.started_at),
        result=await ask_response(run, results=True) if not step_id else await _one_step(run, step_id),
    )
    if run.ended_at is not None:
        message.ended_at.CopyFrom(timestamp(run.ended_at))
    if run.state is RunState.FAILED and run.error is not None:
        message.error.CopyFrom(to_status(run.error))
    return message


def plan_message(plan: Plan) -> plan_pb2.Plan:
    """A plan as it was written."""
    return plan_pb2.Plan(steps=[_plan_step(step.source) for step in plan.steps])


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


async def _one_step(run: Run, step_id: str) -> orchestrator_service_pb2.AskResponse:
    plan = run.plan
    response = orchestrator_service_pb2.AskResponse(run_id=run.id)
    if plan is not None and step_id in plan.by_id and step_id in run.steps:
        response.steps.append(await _step(plan.by_id[step_id], run.steps[step_id], results=True))
    _keep_results(response, MAX_RESULTS_BYTES)
    return response


def _plan_step(source: Mapping[str, Json]) -> plan_pb2.PlanStep:
    arguments, when, depends_on = source.get("arguments"), source.get("when"), source.get("depends_on")
    step = plan_pb2.PlanStep(
        id=str(source["id"]),
        skill=str(source["skill"]),
        arguments=to_struct(arguments) if isinstance(arguments, dict) else None,
        when=when if isinstance(when, str) else "",
        optional=source.get("optional") is True,
        depends_on=[str(name) for name in depends_on] if isinstance(depends_on, list) else [],
    )
    if "for_each" in source:
        step.for_each.CopyFrom(to_value(source["for_each"]))
    return step


async def _step(step: Step, record: StepRecord, *, results: bool) -> run_pb2.StepResult:
    outcome = record.outcome
    message = run_pb2.StepResult(
        step_id=step.id,
        skill=step.skill.id,
        outcome=_outcome_value(outcome),
        reason=_reason_value(outcome),
        message=outcome.message,
        code=outcome.code,
        agent_reason=outcome.agent_reason,
        because_of=outcome.because_of,
        attempts=outcome.attempts,
        endpoint=outcome.endpoint,
        ended_at=timestamp(record.ended_at),
        items=[await _item(index, item, results=results) for index, item in enumerate(outcome.items or ())],
        effect_unknown=outcome.effect_unknown,
        result_bytes=outcome.result_bytes,
    )
    if record.started_at is not None:
        message.started_at.CopyFrom(timestamp(record.started_at))
    if results and outcome.result is not None:
        message.result.CopyFrom(await to_struct_off_loop(outcome.result, outcome.result_bytes))
    return message


async def _item(index: int, outcome: Outcome, *, results: bool) -> run_pb2.ItemResult:
    message = run_pb2.ItemResult(
        index=index,
        outcome=_outcome_value(outcome),
        reason=_reason_value(outcome),
        message=outcome.message,
        code=outcome.code,
        agent_reason=outcome.agent_reason,
        attempts=outcome.attempts,
        endpoint=outcome.endpoint,
        effect_unknown=outcome.effect_unknown,
    )
    if results and outcome.result is not None:
        message.result.CopyFrom(await to_struct_off_loop(outcome.result, outcome.result_bytes))
    return message


def _keep_results(response: orchestrator_service_pb2.AskResponse, most: int) -> None:
    """Leave out the largest results until the others fit."""
    sizes = {index: _results_bytes(step) for index, step in enumerate(response.steps)}
    total = sum(sizes.values())
    for index in sorted(sizes, key=lambda index: (-sizes[index], index)):
        if total <= most:
            return
        step = response.steps[index]
        step.ClearField("result")
        for item in step.items:
            item.ClearField("result")
        step.result_omitted = True
        total -= sizes[index]


def _results_bytes(step: run_pb2.StepResult) -> int:
    own = step.result.ByteSize() if step.HasField("result") else 0
    return own + sum(item.result.ByteSize() for item in step.items if item.HasField("result"))


def _outcome_value(outcome: Outcome) -> run_pb2.StepOutcome.ValueType:
    return run_pb2.StepOutcome.Value(f"STEP_OUTCOME_{outcome.kind}")


def _reason_value(outcome: Outcome) -> run_pb2.StepReason.ValueType:
    if outcome.reason is None:
        return run_pb2.STEP_REASON_UNSPECIFIED
    return run_pb2.StepReason.Value(f"STEP_REASON_{outcome.reason}")


def _timings(timings: Timings) -> run_pb2.Timings:
    return run_pb2.Timings(
        total=duration(timings.total),
        route=duration(timings.route),
        execute=duration(timings.execute),
        synthesize=duration(timings.synthesize),
        critical_path=duration(timings.critical_path),
        overhead=duration(timings.overhead),
    )
