"""THE table of errors: which exception has which canonical code and reason. Pure; `agentmesh.transport` sends them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from agentmesh import errors
from agentmesh.errors import Code, MeshError, Reason

# Classes that are raised come first; the bases after them give what no more exact class says, and are never rebuilt.
TABLE: Final[Mapping[type[MeshError], tuple[Code, Reason]]] = MappingProxyType(
    {
        errors.RequestMalformed: (Code.INVALID_ARGUMENT, Reason.REQUEST_MALFORMED),
        errors.RequestInvalid: (Code.INVALID_ARGUMENT, Reason.REQUEST_INVALID),
        errors.FieldNotSupported: (Code.UNIMPLEMENTED, Reason.FIELD_NOT_SUPPORTED),
        errors.PlanInvalid: (Code.INVALID_ARGUMENT, Reason.PLAN_INVALID),
        errors.UnknownSkill: (Code.INVALID_ARGUMENT, Reason.UNKNOWN_SKILL),
        errors.EffectNotAllowed: (Code.PERMISSION_DENIED, Reason.EFFECT_NOT_ALLOWED),
        errors.CardInvalid: (Code.INVALID_ARGUMENT, Reason.CARD_INVALID),
        errors.ArgumentsInvalid: (Code.INVALID_ARGUMENT, Reason.ARGUMENTS_INVALID),
        errors.SkillChanged: (Code.FAILED_PRECONDITION, Reason.SKILL_CHANGED),
        errors.RequestIdReused: (Code.INVALID_ARGUMENT, Reason.REQUEST_ID_REUSED),
        errors.BudgetExceeded: (Code.RESOURCE_EXHAUSTED, Reason.BUDGET_EXCEEDED),
        errors.ReaderStalled: (Code.CANCELLED, Reason.READER_STALLED),
        errors.Unauthenticated: (Code.UNAUTHENTICATED, Reason.UNAUTHENTICATED),
        errors.AddressNotAllowed: (Code.PERMISSION_DENIED, Reason.ADDRESS_NOT_ALLOWED),
        errors.CardMismatch: (Code.FAILED_PRECONDITION, Reason.CARD_MISMATCH),
        errors.CardConflict: (Code.FAILED_PRECONDITION, Reason.CARD_CONFLICT),
        errors.RunNotFound: (Code.NOT_FOUND, Reason.RUN_NOT_FOUND),
        errors.StepNotFound: (Code.NOT_FOUND, Reason.STEP_NOT_FOUND),
        errors.SkillNotFound: (Code.NOT_FOUND, Reason.SKILL_NOT_FOUND),
        errors.LeaseNotFound: (Code.NOT_FOUND, Reason.LEASE_NOT_FOUND),
        errors.SkillFailed: (Code.FAILED_PRECONDITION, Reason.SKILL_FAILED),
        errors.NotFound: (Code.NOT_FOUND, Reason.NOT_FOUND),
        errors.PermissionDenied: (Code.PERMISSION_DENIED, Reason.PERMISSION_DENIED),
        errors.ResourceExhausted: (Code.RESOURCE_EXHAUSTED, Reason.RESOURCE_EXHAUSTED),
        errors.ResultInvalid: (Code.INTERNAL, Reason.RESULT_INVALID),
        errors.ResultTooLarge: (Code.INTERNAL, Reason.RESULT_TOO_LARGE),
        errors.ResultTooDeep: (Code.INTERNAL, Reason.RESULT_TOO_DEEP),
        errors.ResultNotJson: (Code.INTERNAL, Reason.RESULT_NOT_JSON),
        errors.Unreachable: (Code.UNAVAILABLE, Reason.UNREACHABLE),
        errors.ShuttingDown: (Code.UNAVAILABLE, Reason.SHUTTING_DOWN),
        errors.Overloaded: (Code.RESOURCE_EXHAUSTED, Reason.OVERLOADED),
        errors.CatalogEmpty: (Code.UNAVAILABLE, Reason.CATALOG_EMPTY),
        errors.AddressUnreachable: (Code.UNAVAILABLE, Reason.ADDRESS_UNREACHABLE),
        errors.RegistryUnavailable: (Code.UNAVAILABLE, Reason.REGISTRY_UNAVAILABLE),
        errors.NoEndpoint: (Code.UNAVAILABLE, Reason.NO_ENDPOINT),
        errors.LlmUnavailable: (Code.UNAVAILABLE, Reason.LLM_UNAVAILABLE),
        errors.LlmRefused: (Code.FAILED_PRECONDITION, Reason.LLM_REFUSED),
        errors.AllStepsFailed: (Code.FAILED_PRECONDITION, Reason.ALL_STEPS_FAILED),  # its own code is sent
        errors.RemoteError: (Code.UNKNOWN, Reason.REMOTE_ERROR),  # its own code is sent
        errors.DeadlineExceeded: (Code.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED),
        errors.RunCancelled: (Code.CANCELLED, Reason.RUN_CANCELLED),
        errors.ModelPlanInvalid: (Code.INTERNAL, Reason.PLAN_INVALID),
        errors.Internal: (Code.INTERNAL, Reason.INTERNAL),
        errors.RequestError: (Code.INVALID_ARGUMENT, Reason.REQUEST_INVALID),
        errors.SkillError: (Code.FAILED_PRECONDITION, Reason.SKILL_FAILED),
        errors.ResultError: (Code.INTERNAL, Reason.RESULT_INVALID),
        errors.PeerError: (Code.UNAVAILABLE, Reason.UNREACHABLE),
        errors.ServerError: (Code.INTERNAL, Reason.INTERNAL),
        MeshError: (Code.INTERNAL, Reason.INTERNAL),
    }
)


def code_of(error: MeshError) -> Code:
    """Return the canonical code that the error has on the wire."""
    if isinstance(error, errors.AllStepsFailed | errors.RemoteError):
        return error.code
    return _entry(error)[0]


def reason_of(error: MeshError) -> Reason:
    """Return the reason that the error has on the wire."""
    return _entry(error)[1]


def _entry(error: MeshError) -> tuple[Code, Reason]:
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
