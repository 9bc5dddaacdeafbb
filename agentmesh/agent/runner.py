"""Runs one skill once: arguments in, a checked result out, whatever the skill does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import structlog

from agentmesh import errors
from agentmesh.agent.call import Call, set_current_call
from agentmesh.agent.results import Written
from agentmesh.agent.skill import Skill
from agentmesh.agent.threads import Threads
from agentmesh.jsonvalues import JsonObject

_log: Final = structlog.get_logger("agentmesh.agent")


async def run_skill(skill: Skill, arguments: JsonObject, call: Call, threads: Threads) -> Written:
    """Return the result of the skill. A skill that blocks runs in a thread; an async one in the caller's task.

    Cancelling the caller cancels an async skill, and leaves a thread to itself.

    Raises:
        errors.ArgumentsInvalid: Before the skill is called.
        errors.ResultError: The skill returned what must not be sent; logged, for it is a bug of the agent.
        errors.DeadlineExceeded: The skill's own timeout passed.
        errors.MeshError: What the skill raised on purpose.
    Anything else that the skill raises passes as it is: the interceptor logs it and answers with fixed text.
    """
    values = skill.arguments.read(arguments)
    set_current_call(call)
    limit = asyncio.timeout(skill.timeout_seconds)
    try:
        async with limit:
            return await _written(skill, values, threads)
    except TimeoutError:
        if not limit.expired():  # the skill's own
            raise
        seconds = f"{skill.timeout_seconds:g} s"
        raise errors.DeadlineExceeded(f"skill {skill.name} took longer than its timeout of {seconds}") from None
    except asyncio.CancelledError as error:
        if _is_cancelled_from_outside():
            raise
        raise RuntimeError(f"skill {skill.name} cancelled itself") from error
    except SystemExit as error:  # would end the agent
        raise RuntimeError(f"skill {skill.name} called sys.exit()") from error
    except errors.ResultError as error:
        _log.error("result_refused", skill=skill.name, error=type(error).__name__, detail=error.message)
        raise type(error)(f"skill {skill.name}: {error.message}") from error
    finally:
        call.gone.set()


async def _written(skill: Skill, values: dict[str, Any], threads: Threads) -> Written:
    if skill.is_async:
        function = cast("Callable[..., Awaitable[object]]", skill.function)
        return skill.results.write(await function(**values))
    return await threads.run(lambda: skill.results.write(skill.function(**values)))


def _is_cancelled_from_outside() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
