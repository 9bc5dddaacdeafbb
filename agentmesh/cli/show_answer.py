"""An answer as people read it: plan, steps with their times, the answer, what it cost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from agentmesh.cli.exits import ExitCode
from agentmesh.cli.output import Output, Span
from agentmesh.cli.show_plan import show_plan
from agentmesh.client.enums import AnswerSource, PlanSource, RunOutcome, StepOutcome
from agentmesh.client.values import Answer, ItemReport, RoutedPlan, StepReport, Timings, Usage

_MARKS: Final = {
    StepOutcome.SUCCEEDED: ("✓", "green"),
    StepOutcome.FAILED: ("✗", "red"),
    StepOutcome.TIMED_OUT: ("⧗", "red"),
    StepOutcome.SKIPPED: ("↷", "yellow"),
    StepOutcome.CANCELLED: ("⊘", "yellow"),
    StepOutcome.UNKNOWN: ("?", "yellow"),
}
_COLOURS: Final = {RunOutcome.COMPLETE: "green", RunOutcome.PARTIAL: "yellow", RunOutcome.NO_AGENT: "yellow"}
_EXITS: Final = {RunOutcome.PARTIAL: ExitCode.PARTIAL, RunOutcome.NO_AGENT: ExitCode.NO_AGENT}


def exit_code_of_answer(answer: Answer) -> ExitCode:
    return _EXITS.get(answer.outcome, ExitCode.OK)


def show_answer(output: Output, answer: Answer) -> None:
    show_plan(output, answer.plan, answer.mode, answer.plan_source, answer.planner)
    if answer.steps:
        _show_steps(output, answer.steps)
    if answer.text:
        note = "" if answer.answer_source is AnswerSource.LLM else "written without a model"
        output.heading("answer", note)
        output.text(answer.text, markdown=True)
    else:
        show_results(output, answer.steps)
    _show_footer(output, answer)


def show_routed(output: Output, routed: RoutedPlan) -> None:
    show_plan(output, routed.plan, routed.mode, routed.plan_source, routed.planner)
    output.heading("cost")
    output.line("  ", cost_line(routed.usage, routed.plan_source))


def cost_line(usage: Usage, source: PlanSource) -> str:
    """Return e.g. `2 LLM calls (some-model), 1200 tokens in, 80 out, $0.0021; 3 agent calls`."""
    calls = "1 LLM call" if usage.llm_calls == 1 else f"{usage.llm_calls} LLM calls"
    parts = [f"{calls} ({_llm_note(usage, source)})" if _llm_note(usage, source) else calls]
    if usage.llm_calls:
        if usage.llm_requests > usage.llm_calls:
            parts.append(f"{usage.llm_requests} requests for them")
        parts.append(f"{usage.input_tokens} tokens in, {usage.output_tokens} out")
        parts.append("price not configured" if usage.cost_usd is None else f"${usage.cost_usd:.4f}")
    text = ", ".join(parts)
    if usage.agent_calls:
        text += f"; {usage.agent_calls} agent call{'s' if usage.agent_calls > 1 else ''}"
    if usage.agents.llm_calls:
        text += f"; the agents themselves: {usage.agents.llm_calls} LLM calls, ${usage.agents.cost_usd:.4f}"
    return text


def _llm_note(usage: Usage, source: PlanSource) -> str:
    if usage.llm_calls:
        return ", ".join(dict.fromkeys(usage.models))
    return "offline" if source is PlanSource.OFFLINE else ""


def duration(seconds: float) -> str:
    """Return e.g. `0.4 ms`, `12 ms`, `1.24 s`."""
    if round(seconds * 1000, 1) and seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def moment(at: datetime) -> str:
    """Return e.g. `2026-01-02T03:04:05.678Z`."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _show_steps(output: Output, steps: tuple[StepReport, ...]) -> None:
    output.heading("steps")
    width = max(len(step.step_id) for step in steps)
    origin = min((step.started_at for step in steps if step.started_at is not None), default=None)
    for step in steps:
        spans = [*mark_of(step.outcome, marks=output.marks), " ", step.step_id.ljust(width)]
        if step.seconds is not None and step.started_at is not None and origin is not None:
            began = (step.started_at - origin).total_seconds()
            spans += [f"  {duration(step.seconds)}", (f", began at {duration(began)}", "dim")]
        if step.attempts > 1:
            spans.append((f", {step.attempts} attempts", "yellow"))
        if step.items:
            done = sum(item.outcome is StepOutcome.SUCCEEDED for item in step.items)
            spans.append(f", {done} of {len(step.items)} items")
        output.line("  ", *spans, *why(step))
        for item in step.items:
            if item.outcome is not StepOutcome.SUCCEEDED:
                output.line("    ", *mark_of(item.outcome, marks=output.marks), f" item {item.index}", *why(item))


def mark_of(outcome: StepOutcome, *, marks: bool) -> list[Span]:
    """Return the outcome, padded to one width for all."""
    if not marks:
        return [outcome.ljust(len(StepOutcome.SUCCEEDED))]
    mark, colour = _MARKS[outcome]
    return [(mark, colour), " ", (outcome.lower().replace("_", " ").ljust(9), colour)]


def why(report: StepReport | ItemReport) -> Iterator[Span]:
    """Give what went wrong; nothing where nothing did."""
    if report.reason is not None:
        yield "  "
        yield (str(report.reason), "yellow")
    if report.message:
        yield f": {report.message}"
    if isinstance(report, StepReport) and report.because_of and not report.message:
        yield f" ({', '.join(report.because_of)})"
    if report.effect_unknown:
        yield (" it may or may not have happened", "bold yellow")


def show_results(output: Output, steps: tuple[StepReport, ...]) -> None:
    carried = [step for step in steps if step.result is not None or step.items or step.result_omitted]
    if not carried:
        return
    output.heading("results")
    for step in carried:
        output.line((f"{step.step_id}:", "bold"))
        if step.result_omitted:
            output.line(f"  too large for this response ({step.result_bytes} bytes)")
        elif step.items:
            output.text(json.dumps([item.result for item in step.items], indent=2, ensure_ascii=False))
        else:
            output.text(json.dumps(step.result, indent=2, ensure_ascii=False))


def _show_footer(output: Output, answer: Answer) -> None:
    output.heading("run", answer.run_id)
    colour = _COLOURS.get(answer.outcome, "red")
    again = ", the stored answer to an earlier request with this request id" if answer.replayed else ""
    output.line("  ", (str(answer.outcome), f"bold {colour}"), f" in {duration(answer.timings.total)}", again)
    output.line("  ", _times(answer))
    output.line("  ", cost_line(answer.usage, answer.plan_source))


def _times(answer: Answer) -> str:
    timings: Timings = answer.timings
    parts = []
    if answer.plan_source is not PlanSource.CALLER:
        parts.append(f"route {duration(timings.route)}")
    if answer.steps:
        parts.append(f"execute {duration(timings.execute)}")
    if timings.synthesize:
        parts.append(f"synthesize {duration(timings.synthesize)}")
    return ", ".join([*parts, f"overhead {duration(timings.overhead)}"])
