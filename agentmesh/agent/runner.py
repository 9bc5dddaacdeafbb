"""Runs one skill once: values in, a checked result out, whatever the skill does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import grpc
import structlog

from agentmesh import errors
from agentmesh.agent.call import Call, set_current_call
from agentmesh.agent.results import Written
from agentmesh.agent.skill import Skill
from agentmesh.agent.threads import Threads
from agentmesh.reasons import code_of, reason_of
from agentmesh.telemetry.failures import told

_log: Final = structlog.get_logger(scope="agentmesh.agent")


async def run_skill(skill: Skill, values: dict[str, Any], call: Call, threads: Threads) -> Written:
    """Return the result of the skill. A skill that blocks runs in a thread; an async one in the caller's task.

    Cancelling the caller cancels an async skill, and leaves a thread to itself. `call.begun` is set once the skill has
    begun, `call.gone` when nobody waits for it any more.

    Raises:
        errors.ArgumentsInvalid: Raised by the skill.
        errors.SkillError: What the skill raised on purpose.
        errors.RemoteError: The skill let an error pass that is not its own: something that it depends on failed.
        errors.ResultError: The skill returned what must not be sent; logged, for it is a bug of the agent.
        errors.DeadlineExceeded: The skill's own timeout passed.
    Anything else that the skill raises is a bug: the interceptor logs it and answers with fixed text.
    """
    set_current_call(call)
    limit = asyncio.timeout(skill.timeout_seconds)
    try:
        async with limit:
            return await _checked(skill, values, call, threads)
    except TimeoutError:
        if not limit.expired():  # the skill's own
            raise
        seconds = f"{skill.timeout_seconds:g} s"
        raise errors.DeadlineExceeded(f"skill {skill.name} took longer than its timeout of {seconds}") from None
    finally:
        call.gone.set()


async def _checked(skill: Skill, values: dict[str, Any], call: Call, threads: Threads) -> Written:
    """Call the skill; what it raises is sorted into what the caller may know and what is a bug."""
    try:
        return await _written(skill, values, call, threads)
    except asyncio.CancelledError as error:
        if _is_cancelled_from_outside():
            raise
        raise RuntimeError(f"skill {skill.name} cancelled itself") from error
    except grpc.aio.AioRpcError as error:  # the interceptor would take it for one of a service behind this one
        raise RuntimeError(f"skill {skill.name} let an error of gRPC pass") from error
    except errors.ResultError as error:
        _log.error("result_refused", skill=skill.name, **told(error))
        raise type(error)(f"skill {skill.name}: {error.message}") from error
    except (errors.SkillError, errors.ArgumentsInvalid):
        raise
    except errors.MeshError as error:
        raise _of_another(skill, error) from error
    except Exception:
        raise
    except BaseException as error:  # sys.exit() would end the agent, a panic of Rust would leave the caller waiting
        raise RuntimeError(f"skill {skill.name} raised {type(error).__name__}") from error


async def _written(skill: Skill, values: dict[str, Any], call: Call, threads: Threads) -> Written:
    if skill.is_async:
        function = cast("Callable[..., Awaitable[object]]", skill.function)
        call.begun.set()
        return skill.results.write(await function(**values))
    return await threads.run(lambda: skill.results.write(skill.function(**values)), call.begun.set)


def _of_another(skill: Skill, error: errors.MeshError) -> errors.RemoteError:
    """Say whose error it is: `Unreachable` or `SkillChanged` would be taken for a statement about this agent."""
    return errors.RemoteError(
        f"skill {skill.name}: {error.message}",
        code=code_of(error),
        remote_reason=reason_of(error),
        violations=error.violations,
        retry_after_seconds=error.retry_after_seconds,
        metadata=error.metadata,
    )


def _is_cancelled_from_outside() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
