"""Plans between messages and the plan language, for callers and the orchestrator alike. None is judged here."""

from __future__ import annotations

from agentmesh.jsonvalues import JsonObject
from agentmesh.transport.structs import from_struct, from_value, to_struct, to_value
from agentmesh.v1 import plan_pb2


def plan_to_json(message: plan_pb2.Plan) -> JsonObject:
    """Return the plan in the plan language, without what is not set."""
    return {"steps": [_step_to_json(step) for step in message.steps]}


def plan_from_json(source: JsonObject) -> plan_pb2.Plan:
    """Return the message of a plan in the plan language that is known to be sound."""
    steps = source["steps"]
    assert isinstance(steps, list)
    return plan_pb2.Plan(steps=[_step_from_json(step) for step in steps if isinstance(step, dict)])


def _step_to_json(step: plan_pb2.PlanStep) -> JsonObject:
    source: JsonObject = {"id": step.id, "skill": step.skill, "arguments": from_struct(step.arguments)}
    if step.when:
        source["when"] = step.when
    if step.HasField("for_each"):
        source["for_each"] = from_value(step.for_each)
    if step.optional:
        source["optional"] = True
    if step.depends_on:
        source["depends_on"] = list(step.depends_on)
    return source


def _step_from_json(source: JsonObject) -> plan_pb2.PlanStep:
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
