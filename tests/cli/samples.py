"""Answers that a mesh might give, written by hand: every kind of step is in one of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from agentmesh.client.plans import plan_message
from agentmesh.jsonvalues import JsonObject
from agentmesh.transport.structs import to_struct
from agentmesh.v1 import agent_service_pb2, card_pb2, plan_pb2, run_event_pb2, run_pb2, usage_pb2
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import registry_service_pb2 as registry_pb

RUN_ID = "0123456789abcdef0123456789abcdef"
BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

PLAN: JsonObject = {
    "steps": [
        {"id": "scan", "skill": "analytics_agent__get_trends", "arguments": {"entity": "host", "window_minutes": 60}},
        {
            "id": "conf",
            "skill": "config_agent__check_config",
            "arguments": {"component": "${scan.anomalies[0].component}"},
            "when": "size(scan.anomalies) > 0",
        },
        {
            "id": "each",
            "skill": "data_agent__get_report",
            "arguments": {"entity": "${item}", "note": "not of scan or conf"},
            "for_each": ["host", "nobody"],
            "optional": True,
        },
        {
            "id": "mail",
            "skill": "mail_agent__send",
            "arguments": {"text": "${conf.summary}: ${text(scan.anomalies)}"},
            "depends_on": ["each"],
        },
    ]
}


def seconds(value: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(value * 1e9))
    return duration


def at(milliseconds: int) -> Timestamp:
    moment = Timestamp()
    moment.FromDatetime(BEGAN + timedelta(milliseconds=milliseconds))
    return moment


def full_answer() -> run_pb2.AskResponse:
    """Every outcome of a step, with items, retries and results."""
    return run_pb2.AskResponse(
        run_id=RUN_ID,
        mode=plan_pb2.MODE_SEQUENTIAL,
        outcome=run_pb2.RUN_OUTCOME_PARTIAL,
        answer="Two things were found.\n\n- checkout is slow\n- nobody is unknown",
        answer_source=run_pb2.ANSWER_SOURCE_LLM,
        plan=plan_message(PLAN),
        plan_source=plan_pb2.PLAN_SOURCE_LLM,
        planner="some-model",
        steps=[
            run_pb2.StepResult(
                step_id="scan",
                skill="analytics_agent__get_trends",
                outcome=run_pb2.STEP_OUTCOME_SUCCEEDED,
                attempts=2,
                endpoint="127.0.0.1:4001",
                started_at=at(0),
                ended_at=at(120),
                result=to_struct({"anomalies": [{"component": "checkout", "score": 4.0}], "count": 1}),
                result_bytes=63,
            ),
            run_pb2.StepResult(
                step_id="conf",
                skill="config_agent__check_config",
                outcome=run_pb2.STEP_OUTCOME_FAILED,
                reason=run_pb2.STEP_REASON_AGENT_ERROR,
                message="no component `checkout`",
                code=5,
                agent_reason="NOT_FOUND",
                attempts=1,
                endpoint="127.0.0.1:4002",
                started_at=at(121),
                ended_at=at(125),
            ),
            run_pb2.StepResult(
                step_id="each",
                skill="data_agent__get_report",
                outcome=run_pb2.STEP_OUTCOME_SUCCEEDED,
                attempts=2,
                started_at=at(1),
                ended_at=at(1501),
                items=[
                    run_pb2.ItemResult(
                        index=0,
                        outcome=run_pb2.STEP_OUTCOME_SUCCEEDED,
                        attempts=1,
                        result=to_struct({"cpu": 0.5}),
                    ),
                    run_pb2.ItemResult(
                        index=1,
                        outcome=run_pb2.STEP_OUTCOME_TIMED_OUT,
                        reason=run_pb2.STEP_REASON_DEADLINE_EXCEEDED,
                        message="data_agent did not answer within 1.5 s",
                        attempts=1,
                    ),
                ],
            ),
            run_pb2.StepResult(
                step_id="mail",
                skill="mail_agent__send",
                outcome=run_pb2.STEP_OUTCOME_SKIPPED,
                reason=run_pb2.STEP_REASON_UPSTREAM_FAILED,
                because_of=["conf"],
                ended_at=at(1501),
            ),
        ],
        usage=usage_pb2.Usage(
            llm_calls=2,
            llm_requests=3,
            models=["some-model", "some-model"],
            input_tokens=1200,
            output_tokens=80,
            cost_usd=0.00124,
            agent_calls=5,
        ),
        timings=run_pb2.Timings(
            total=seconds(2.5),
            route=seconds(0.4),
            execute=seconds(1.501),
            synthesize=seconds(0.59),
            critical_path=seconds(1.5),
            overhead=seconds(0.0042),
        ),
    )


def offline_answer() -> run_pb2.AskResponse:
    """One step, no model."""
    return run_pb2.AskResponse(
        run_id=RUN_ID,
        mode=plan_pb2.MODE_SINGLE,
        outcome=run_pb2.RUN_OUTCOME_COMPLETE,
        answer="cpu  12 %\nmem  40 %",
        answer_source=run_pb2.ANSWER_SOURCE_RENDERED,
        plan=plan_message({"steps": [{"id": "a", "skill": "data_agent__get_report", "arguments": {}}]}),
        plan_source=plan_pb2.PLAN_SOURCE_OFFLINE,
        planner="offline",
        steps=[
            run_pb2.StepResult(
                step_id="a",
                skill="data_agent__get_report",
                outcome=run_pb2.STEP_OUTCOME_SUCCEEDED,
                attempts=1,
                started_at=at(0),
                ended_at=at(7),
            )
        ],
        usage=usage_pb2.Usage(agent_calls=1),
        timings=run_pb2.Timings(
            total=seconds(0.012), route=seconds(0.003), execute=seconds(0.007), synthesize=seconds(0.001),
            critical_path=seconds(0.007), overhead=seconds(0.001),
        ),
    )  # fmt: skip


def raw_answer() -> run_pb2.AskResponse:
    """The same without a text, with the result."""
    answer = offline_answer()
    answer.answer = ""
    answer.answer_source = run_pb2.ANSWER_SOURCE_NONE
    answer.timings.ClearField("synthesize")
    answer.steps[0].result.CopyFrom(to_struct({"cpu_percent": 12.0, "load": [0.5, 1.0], "name": "host"}))
    answer.steps[0].result_bytes = 55
    return answer


def no_agent_answer() -> run_pb2.AskResponse:
    return run_pb2.AskResponse(
        run_id=RUN_ID,
        mode=plan_pb2.MODE_NONE,
        outcome=run_pb2.RUN_OUTCOME_NO_AGENT,
        answer="Nobody here can do that.",
        answer_source=run_pb2.ANSWER_SOURCE_RENDERED,
        plan_source=plan_pb2.PLAN_SOURCE_OFFLINE,
        planner="offline",
        timings=run_pb2.Timings(total=seconds(0.002), route=seconds(0.001), overhead=seconds(0.001)),
    )


def routed() -> pb.PlanResponse:
    return pb.PlanResponse(
        plan=plan_message(PLAN),
        mode=plan_pb2.MODE_SEQUENTIAL,
        plan_source=plan_pb2.PLAN_SOURCE_LLM,
        planner="some-model",
        usage=usage_pb2.Usage(llm_calls=1, llm_requests=1, models=["some-model"], input_tokens=900, output_tokens=60),
        catalog_fingerprint="ab" * 32,
    )


def listing() -> registry_pb.ListAgentsResponse:
    schema: JsonObject = {
        "type": "object",
        "properties": {
            "entity": {"type": "string", "default": "host", "description": "What to report on."},
            "unit": {"type": "string", "enum": ["percent", "bytes"]},
            "to": {"type": "string"},
        },
        "required": ["to"],
    }
    return registry_pb.ListAgentsResponse(
        agents=[
            registry_pb.RegisteredAgent(
                card=card_pb2.AgentCard(
                    name="data_agent",
                    version="0.1.0",
                    description="Reports of this machine.",
                    skills=[
                        card_pb2.Skill(
                            name="get_report",
                            description="The latest report.\nMore about it.",
                            effect=card_pb2.EFFECT_READ_ONLY,
                            input_schema=to_struct(schema),
                            examples=["How is this machine?"],
                        ),
                        card_pb2.Skill(
                            name="list_entities", description="Names of entities.", effect=card_pb2.EFFECT_READ_ONLY
                        ),
                    ],
                ),
                card_digest="cd" * 32,
                endpoints=[
                    registry_pb.Endpoint(
                        address="127.0.0.1:4001",
                        registered_at=at(0),
                        last_heartbeat_at=at(5000),
                        expires_at=at(20_000),
                        state=registry_pb.ENDPOINT_STATE_SERVING,
                        calls_in_flight=2,
                    )
                ],
            )
        ],
        catalog_fingerprint="ef" * 32,
    )


def finished_run() -> pb.GetRunResponse:
    return pb.GetRunResponse(
        run=run_pb2.Run(
            run_id=RUN_ID,
            state=run_pb2.RUN_STATE_FINISHED,
            query="What is going on?",
            started_at=at(0),
            ended_at=at(12),
            result=raw_answer(),
        )
    )


def events() -> list[run_event_pb2.RunEvent]:
    """The run of `full_answer` from its beginning: a retry, progress, items, an answer that began twice."""
    answer = full_answer()
    steps = {step.step_id: step for step in answer.steps}
    for step in steps.values():
        step.ClearField("result")
    happened: list[tuple[int, dict[str, Message]]] = [
        (-400, {"accepted": run_event_pb2.RunAccepted(run_id=RUN_ID)}),
        (0, {"planned": run_event_pb2.RunPlanned(
            plan=answer.plan, plan_source=answer.plan_source, planner=answer.planner, mode=answer.mode)}),
        (0, {"step_started": run_event_pb2.StepStarted(step_id="scan", attempt=1, endpoint="127.0.0.1:4001")}),
        (1, {"step_started": run_event_pb2.StepStarted(step_id="each", item_index=0, attempt=1)}),
        (1, {"step_started": run_event_pb2.StepStarted(step_id="each", item_index=1, attempt=1)}),
        (40, {"step_started": run_event_pb2.StepStarted(step_id="scan", attempt=2, endpoint="127.0.0.1:4003")}),
        (60, {"step_progress": run_event_pb2.StepProgress(
            step_id="scan", progress=agent_service_pb2.Progress(fraction=0.4, message="reading"))}),
        (120, {"step_finished": run_event_pb2.StepFinished(step=steps["scan"])}),
        (121, {"step_started": run_event_pb2.StepStarted(step_id="conf", attempt=1)}),
        (125, {"step_finished": run_event_pb2.StepFinished(step=steps["conf"])}),
        (1501, {"step_finished": run_event_pb2.StepFinished(step=steps["each"])}),
        (1501, {"step_finished": run_event_pb2.StepFinished(step=steps["mail"])}),
        (1600, {"answer_token": run_event_pb2.AnswerToken(text="One thing ")}),
        (1700, {"answer_reset": run_event_pb2.AnswerReset()}),
        (1800, {"answer_token": run_event_pb2.AnswerToken(text="Two things ")}),
        (1900, {"answer_token": run_event_pb2.AnswerToken(text="were found.")}),
        (2100, {"finished": full_answer()}),
    ]  # fmt: skip
    return [
        run_event_pb2.RunEvent(sequence=index + 1, at=at(when), **event)  # type: ignore[arg-type]
        for index, (when, event) in enumerate(happened)
    ]


def summaries(*numbers: int) -> list[run_pb2.RunSummary]:
    """Runs that began so many minutes after `BEGAN`."""
    return [
        run_pb2.RunSummary(
            run_id=f"{number:032x}",
            query=f"Question {number}?",
            state=run_pb2.RUN_STATE_FINISHED,
            outcome=run_pb2.RUN_OUTCOME_COMPLETE,
            conversation_id="talk",
            started_at=at(number * 60_000),
            ended_at=at(number * 60_000 + 1500),
            usage=usage_pb2.Usage(llm_calls=2, cost_usd=0.0015, agent_calls=3),
        )
        for number in numbers
    ]


def listed_runs() -> pb.ListRunsResponse:
    """One that runs, one that failed, one of another conversation."""
    running, failed, finished = summaries(9, 8, 7)
    running.state = run_pb2.RUN_STATE_RUNNING
    failed.state = run_pb2.RUN_STATE_FAILED
    running.ClearField("ended_at")
    for run in (running, failed):
        run.ClearField("outcome")
    finished.query = "A question of\ntwo lines"
    return pb.ListRunsResponse(runs=[running, failed, finished])
