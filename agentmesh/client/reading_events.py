"""Messages of a stream of events into the values that callers get."""

from __future__ import annotations

import math

from agentmesh.client.events import (
    Accepted,
    AnswerReset,
    AnswerToken,
    Finished,
    Planned,
    RunEvent,
    StepFinished,
    StepProgress,
    StepStarted,
    UnknownEvent,
)
from agentmesh.client.reading import read_answer, read_mode, read_plan_source, read_step
from agentmesh.client.scalars import moment_of
from agentmesh.plan_messages import plan_to_json
from agentmesh.v1 import run_event_pb2


def read_event(message: run_event_pb2.RunEvent) -> RunEvent:
    sequence, at = message.sequence, moment_of(message.at)
    match message.WhichOneof("event"):
        case "accepted":
            return Accepted(sequence, at, message, run_id=message.accepted.run_id)
        case "planned":
            return _planned(message)
        case "step_started":
            return _step_started(message)
        case "step_progress":
            return _step_progress(message)
        case "step_finished":
            return StepFinished(sequence, at, message, step=read_step(message.step_finished.step))
        case "answer_token":
            return AnswerToken(sequence, at, message, text=message.answer_token.text)
        case "answer_reset":
            return AnswerReset(sequence, at, message)
        case "finished":
            return Finished(sequence, at, message, answer=read_answer(message.finished))
        case None:
            return UnknownEvent(sequence, at, message)


def _planned(message: run_event_pb2.RunEvent) -> Planned:
    planned = message.planned
    return Planned(
        message.sequence,
        moment_of(message.at),
        message,
        plan=plan_to_json(planned.plan),
        plan_source=read_plan_source(planned.plan_source),
        planner=planned.planner,
        mode=read_mode(planned.mode),
    )


def _step_started(message: run_event_pb2.RunEvent) -> StepStarted:
    started = message.step_started
    return StepStarted(
        message.sequence,
        moment_of(message.at),
        message,
        step_id=started.step_id,
        item_index=started.item_index if started.HasField("item_index") else None,
        attempt=started.attempt,
        endpoint=started.endpoint,
    )


def _step_progress(message: run_event_pb2.RunEvent) -> StepProgress:
    reported = message.step_progress
    progress = reported.progress
    return StepProgress(
        message.sequence,
        moment_of(message.at),
        message,
        step_id=reported.step_id,
        item_index=reported.item_index if reported.HasField("item_index") else None,
        fraction=progress.fraction if math.isfinite(progress.fraction) and progress.HasField("fraction") else None,
        message=progress.message,
    )
