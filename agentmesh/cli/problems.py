"""Errors of the mesh as people are told them: what, where, what to do."""

from __future__ import annotations

from typing import Final

from agentmesh import errors
from agentmesh.cli.exits import CommandFailed, ExitCode
from agentmesh.errors import Code, MeshError
from agentmesh.reasons import code_of, reason_of

# The first that matches counts.
_ADVICE: Final[tuple[tuple[type[MeshError], str], ...]] = (
    (
        errors.Unreachable,
        "start a mesh with `agentmesh up`, or name one with --address or AGENTMESH_ORCHESTRATOR_ADDRESS",
    ),
    (errors.CatalogEmpty, "start an agent, it registers by itself; `agentmesh agents` shows who is there"),
    (errors.PlanInvalid, "correct the plan; `agentmesh agents --skills` shows skills and their arguments"),
    (errors.UnknownSkill, "`agentmesh agents` shows the skills"),
    (errors.EffectNotAllowed, "allow it with --max-effect, if you mean it"),
    (errors.RequestIdReused, "take another --request-id for another request; one stands for one request alone"),
    (errors.BudgetExceeded, "allow more with --budget-..., or ask for less; the server may have a limit of its own"),
    (errors.Unauthenticated, "check AGENTMESH_TOKEN, or ask without it"),
    (errors.ReaderStalled, "read faster what this command writes, or write it to a file"),
    (errors.DeadlineExceeded, "give it more time with --timeout, or ask for less"),
    (errors.Overloaded, "the mesh answers as many questions as it takes"),
    (errors.LlmUnavailable, "`agentmesh config` shows which model is asked, and where"),
    (errors.LlmRefused, "`agentmesh config` shows which model is asked, and with which key"),
    (errors.RunNotFound, "the orchestrator remembers its latest runs only, and none from before it started"),
    (errors.ModelPlanInvalid, "ask again or more simply; the violations say what the model got wrong"),
    (errors.Internal, "look for the incident in the log of the orchestrator"),
)


def explain_error(error: MeshError) -> CommandFailed:
    """Return what a command says about the error, and its exit code."""
    details = [f"{violation.path or 'all'}: {violation.reason}: {violation.message}" for violation in error.violations]
    run_id = error.metadata.get("run_id")
    if run_id:
        details.append(f"run {run_id}")
    return CommandFailed(
        f"{error.message} ({code_of(error).name}, {reason_of(error)})",
        details=details,
        advice=_advice(error, run_id),
        code=exit_code_of(error),
    )


def exit_code_of(error: MeshError) -> ExitCode:
    """Whose fault it is decides."""
    if isinstance(error, errors.RequestError) and not isinstance(error, errors.ReaderStalled):
        return ExitCode.USAGE
    code = code_of(error)
    if isinstance(error, errors.DeadlineExceeded) or code is Code.DEADLINE_EXCEEDED:
        return ExitCode.TIMED_OUT
    if error.transient or code is Code.UNAVAILABLE:
        return ExitCode.UNAVAILABLE
    return ExitCode.FAILED


def _advice(error: MeshError, run_id: str | None) -> str:
    if code_of(error) is Code.UNIMPLEMENTED and isinstance(error, errors.RemoteError):
        return "check the address: the server there is no orchestrator of this mesh, or an older one"
    if isinstance(error, errors.AllStepsFailed | errors.RunCancelled) and run_id:
        return f"`agentmesh runs show {run_id}` shows every step"
    advice = next((text for kind, text in _ADVICE if isinstance(error, kind)), "")
    if error.retry_after_seconds is not None:
        again = f"try again in {error.retry_after_seconds:g} s"
        advice = f"{again}; {advice}" if advice else again
    return advice
