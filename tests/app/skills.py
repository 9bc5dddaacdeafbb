"""Steps of a plan, and skills to run them with."""

from __future__ import annotations

import asyncio

from agentmesh.errors import MeshError
from agentmesh.jsonvalues import JsonObject
from tests.fakes.agent_caller import SkillFunction

ONE: JsonObject = {"id": "a", "skill": "one__read"}
TWO: JsonObject = {"id": "b", "skill": "two__read"}


async def answers(arguments: JsonObject) -> JsonObject:
    return {"got": arguments.get("x")}


async def hangs(arguments: JsonObject) -> JsonObject:
    await asyncio.Event().wait()
    return {}


def failing(error: MeshError) -> SkillFunction:
    async def fail(arguments: JsonObject) -> JsonObject:
        raise error

    return fail
