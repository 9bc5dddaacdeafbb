"""Events of a run become messages."""

from __future__ import annotations

from agentmesh.v1 import agent_service_pb2, run_event_pb2
from orchestrator_svc.api.responses import ask_response, planned_message, step_message
from orchestrator_svc.api.times import timestamp
from orchestrator_svc.app import run_events as events
from orchestrator_svc.app.journal import Entry
from orchestrator_svc.app.run import Run


async def event_message(run: Run, entry: Entry, *, replayed: bool) -> run_event_pb2.RunEvent:
    """An event with what the run knows of it by now."""
    message = run_event_pb2.RunEvent(sequence=entry.sequence, at=timestamp(entry.at))
    match entry.event:
        case events.Accepted():
            message.accepted.run_id = run.id
        case events.Planned():
            message.planned.CopyFrom(planned_message(run))
        case events.StepStarted(step_id, item_index, attempt, endpoint):
            message.step_started.CopyFrom(
                run_event_pb2.StepStarted(step_id=step_id, item_index=item_index, attempt=attempt, endpoint=endpoint)
            )
        case events.StepProgress(step_id, item_index, fraction, text):
            progress = agent_service_pb2.Progress(fraction=fraction, message=text)
            message.step_progress.CopyFrom(
                run_event_pb2.StepProgress(step_id=step_id, item_index=item_index, progress=progress)
            )
        case events.StepFinished(step_id):
            assert run.plan is not None
            message.step_finished.step.CopyFrom(step_message(run.plan.by_id[step_id], run.steps[step_id]))
        case events.AnswerToken(text):
            message.answer_token.text = text
        case events.AnswerReset():
            message.answer_reset.SetInParent()
        case events.Finished():
            answer = await ask_response(run, results=run.request.carries_results, replayed=replayed)
            message.finished.CopyFrom(answer)
    return message
