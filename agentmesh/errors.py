"""Every error that agentmesh raises on purpose, for callers, agents and the orchestrator alike.

    MeshError
    ├── RequestError            the caller's fault: repeating the same request cannot help
    │   ├── RequestMalformed    RequestInvalid      FieldNotSupported
    │   ├── PlanInvalid         UnknownSkill        EffectNotAllowed
    │   ├── CardInvalid         ArgumentsInvalid    SkillChanged
    │   ├── RequestIdReused     BudgetExceeded      ReaderStalled       Unauthenticated
    │   ├── AddressNotAllowed   CardMismatch        CardConflict
    │   └── RunNotFound         StepNotFound        SkillNotFound       LeaseNotFound
    ├── SkillError              a skill's own words: agent authors raise these
    │   └── SkillFailed         NotFound            PermissionDenied    ResourceExhausted
    ├── ResultError             a skill returned what it must not
    │   └── ResultInvalid       ResultTooLarge      ResultTooDeep       ResultNotJson
    ├── PeerError               something that we depend on failed
    │   ├── Unreachable         ShuttingDown        CatalogEmpty        NoEndpoint      Overloaded
    │   ├── AddressUnreachable  RegistryUnavailable
    │   ├── LlmUnavailable      LlmRefused          AllStepsFailed
    │   └── RemoteError
    ├── DeadlineExceeded
    ├── RunCancelled
    └── ServerError             our fault
        └── ModelPlanInvalid    Internal

Which canonical code and reason each has on the wire is said once, in `agentmesh.reasons`.
This module is pure: no I/O, no gRPC, no generated code. The enums equal those of errors.proto; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Self


class Code(IntEnum):
    """Canonical codes (google.rpc.Code), by number."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Reason(StrEnum):
    """`ErrorInfo.reason`; errors.proto (ErrorReason) says what each means."""

    REQUEST_MALFORMED = "REQUEST_MALFORMED"
    REQUEST_INVALID = "REQUEST_INVALID"
    FIELD_NOT_SUPPORTED = "FIELD_NOT_SUPPORTED"
    PLAN_INVALID = "PLAN_INVALID"
    UNKNOWN_SKILL = "UNKNOWN_SKILL"
    EFFECT_NOT_ALLOWED = "EFFECT_NOT_ALLOWED"
    CATALOG_EMPTY = "CATALOG_EMPTY"
    LLM_UNAVAILABLE = "LLM_UNAVAILABLE"
    LLM_REFUSED = "LLM_REFUSED"
    ALL_STEPS_FAILED = "ALL_STEPS_FAILED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    RUN_CANCELLED = "RUN_CANCELLED"
    RUN_NOT_FOUND = "RUN_NOT_FOUND"
    STEP_NOT_FOUND = "STEP_NOT_FOUND"
    SKILL_NOT_FOUND = "SKILL_NOT_FOUND"
    LEASE_NOT_FOUND = "LEASE_NOT_FOUND"
    CARD_INVALID = "CARD_INVALID"
    ARGUMENTS_INVALID = "ARGUMENTS_INVALID"
    SKILL_CHANGED = "SKILL_CHANGED"
    SKILL_FAILED = "SKILL_FAILED"
    RESULT_INVALID = "RESULT_INVALID"
    RESULT_TOO_LARGE = "RESULT_TOO_LARGE"
    RESULT_TOO_DEEP = "RESULT_TOO_DEEP"
    RESULT_NOT_JSON = "RESULT_NOT_JSON"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    UNREACHABLE = "UNREACHABLE"
    INTERNAL = "INTERNAL"
    NOT_FOUND = "NOT_FOUND"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    NO_ENDPOINT = "NO_ENDPOINT"
    REMOTE_ERROR = "REMOTE_ERROR"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    OVERLOADED = "OVERLOADED"
    READER_STALLED = "READER_STALLED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    ADDRESS_UNREACHABLE = "ADDRESS_UNREACHABLE"
    ADDRESS_NOT_ALLOWED = "ADDRESS_NOT_ALLOWED"
    CARD_MISMATCH = "CARD_MISMATCH"
    CARD_CONFLICT = "CARD_CONFLICT"
    REGISTRY_UNAVAILABLE = "REGISTRY_UNAVAILABLE"


class ViolationReason(StrEnum):
    """What is wrong with one place of a request; errors.proto (ViolationReason) says what each means."""

    SHAPE = "SHAPE"
    STEP_ID_INVALID = "STEP_ID_INVALID"
    STEP_ID_DUPLICATE = "STEP_ID_DUPLICATE"
    TOO_MANY_STEPS = "TOO_MANY_STEPS"
    SKILL_UNKNOWN = "SKILL_UNKNOWN"
    EFFECT_NOT_ALLOWED = "EFFECT_NOT_ALLOWED"
    ARGUMENT_UNKNOWN = "ARGUMENT_UNKNOWN"
    ARGUMENT_MISSING = "ARGUMENT_MISSING"
    ARGUMENT_INVALID = "ARGUMENT_INVALID"
    STEP_UNKNOWN = "STEP_UNKNOWN"
    CYCLE = "CYCLE"
    EXPRESSION_INVALID = "EXPRESSION_INVALID"
    EXPRESSION_TOO_LONG = "EXPRESSION_TOO_LONG"
    FIELD_UNKNOWN = "FIELD_UNKNOWN"
    TYPE_MISMATCH = "TYPE_MISMATCH"
    ABSENT_REFERENCE = "ABSENT_REFERENCE"
    ITEM_OUTSIDE_FOR_EACH = "ITEM_OUTSIDE_FOR_EACH"
    RULE = "RULE"
    NOT_SUPPORTED = "NOT_SUPPORTED"
    SCHEMA_INVALID = "SCHEMA_INVALID"
    SKILL_NAME = "SKILL_NAME"
    SIBLING_CALL = "SIBLING_CALL"
    NOT_JSON = "NOT_JSON"
    LIMIT = "LIMIT"
    SKILL_CHANGED = "SKILL_CHANGED"
    ADDRESS_NOT_ALLOWED = "ADDRESS_NOT_ALLOWED"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a request, a plan or a card."""

    path: str
    """Where, e.g. `steps[2].arguments.component`; empty for the whole."""
    reason: ViolationReason
    message: str
    """What is wrong and what to do; names the nearest valid thing where there is one."""


def summary_of(violations: Sequence[Violation]) -> str:
    """Return the first violation, and how many more there are: for people who see the message of an error alone."""
    first = violations[0]
    text = f"{first.path}: {first.message}" if first.path else first.message
    return text if len(violations) == 1 else f"{text} (and {len(violations) - 1} more)"


class MeshError(Exception):
    """Base of all. The message is public: it goes to callers as it is."""

    transient: bool = False
    """True if the same request may succeed when it is sent again."""
    may_quote: bool = True
    """False if the message is made of our own words, names and figures. Any other may quote what somebody sent, what an
    agent said or a model wrote, and is in logs only where content is captured."""

    def __init__(
        self,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        retry_after_seconds: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        # Whatever it was given, as `raise NotFound(error)` gives an exception: it is written into a status later, where
        # nothing may fail any more.
        self.message = str(message)
        self.violations = tuple(violations)
        self.retry_after_seconds = retry_after_seconds
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))

    def about_run(self, run_id: str, trace_id: str = "") -> Self:
        """Return a copy that has the run, and the trace if there is one, in its metadata: whoever gets it can look."""
        return self._with(run_id=run_id).in_trace(trace_id)

    def in_trace(self, trace_id: str) -> Self:
        """Return a copy that has the trace in its metadata; the same if there is none."""
        return self._with(trace_id=trace_id) if trace_id else self

    def after_changes(self) -> Self:
        """Return a copy that says that a SIDE_EFFECT may have happened, so that nobody asks again without looking."""
        return self._with(may_have_changed_things="true")

    def _with(self, **metadata: str) -> Self:
        """A copy, because one error may be the end of several runs: those that have waited for the same plan."""
        made = type(self).__new__(type(self), *self.args)
        vars(made).update(vars(self))
        made.__cause__ = self.__cause__
        made.metadata = MappingProxyType({**self.metadata, **metadata})
        return made


class RequestError(MeshError):
    """The caller's fault."""


class RequestMalformed(RequestError):
    """The bytes do not parse as the expected message."""


class RequestInvalid(RequestError):
    """A field breaks its documented rule."""

    @classmethod
    def of(cls, path: str, problem: str) -> Self:
        """Make the error for one field, by its path."""
        violation = Violation(path, ViolationReason.RULE, problem)
        return cls(summary_of([violation]), violations=[violation])


class FieldNotSupported(RequestError):
    """A field or rpc of the contract that is not built yet was used."""


class PlanInvalid(RequestError):
    """The plan that the caller brought breaks the plan language."""


class UnknownSkill(RequestError):
    """`allowed_skills` names a skill that the catalog does not have."""


class EffectNotAllowed(RequestError):
    """The plan uses a skill whose effect is above `max_effect`."""


class CardInvalid(RequestError):
    """An agent card breaks a rule."""


class ArgumentsInvalid(RequestError):
    """The arguments of a call do not fit the input schema of the skill."""


class SkillChanged(RequestError):
    """The caller knows other schemas, or another effect, of this skill."""


class RequestIdReused(RequestError):
    """An earlier request of this caller had the same `request_id` and another content."""


class BudgetExceeded(RequestError):
    """The run may not spend more; the violations name the limits, as `budget.llm_calls`."""

    may_quote = False


class ReaderStalled(RequestError):
    """The reader of a stream took nothing for too long."""

    may_quote = False


class Unauthenticated(RequestError):
    """The call carries credentials that are nobody's."""

    may_quote = False


class AddressNotAllowed(RequestError):
    """The address of a registration is none that the registry may call."""


class CardMismatch(RequestError):
    """The agent at the address of a registration has another card."""


class CardConflict(RequestError):
    """An endpoint is listed that gives the same version of the agent another contract."""


class RunNotFound(RequestError):
    """No such run is remembered."""


class StepNotFound(RequestError):
    """The run has no such step."""


class SkillNotFound(RequestError):
    """The agent has no such skill."""


class LeaseNotFound(RequestError):
    """No such lease: register again."""

    may_quote = False


class SkillError(MeshError):
    """A skill refuses or fails on purpose; raise one of its subclasses in a skill."""


class SkillFailed(SkillError):
    """The skill cannot do its work, and repeating the call would not help."""


class NotFound(SkillError):
    """What the arguments name does not exist."""


class PermissionDenied(SkillError):
    """The skill refuses to do this."""


class ResourceExhausted(SkillError):
    """A limit of the skill was reached; set `retry_after_seconds` if waiting helps."""

    transient = True


class ResultError(MeshError):
    """A skill returned what it must not: a bug of the agent."""


class ResultInvalid(ResultError):
    """The result does not fit the output schema."""


class ResultTooLarge(ResultError):
    """The result is over 1 MiB as JSON."""


class ResultTooDeep(ResultError):
    """The result is nested deeper than 24."""


class ResultNotJson(ResultError):
    """The result holds something that JSON between languages cannot carry."""


class PeerError(MeshError):
    """Something that this process depends on failed."""


class Unreachable(PeerError):
    """The peer could not be reached, or the connection broke."""

    transient = True
    may_quote = False


class ShuttingDown(PeerError):
    """The server takes no new work."""

    transient = True
    may_quote = False


class AddressUnreachable(PeerError):
    """The registry called the address of a registration back, and no agent there said that it serves."""

    transient = True
    may_quote = False


class RegistryUnavailable(PeerError):
    """The store that the registry keeps its leases in cannot be reached."""

    transient = True
    may_quote = False


class NoEndpoint(PeerError):
    """The catalog has the skill, and no endpoint of its agent is known just now."""

    transient = True
    may_quote = False


class Overloaded(PeerError):
    """The server answers as many questions as it takes."""

    transient = True
    may_quote = False


class CatalogEmpty(PeerError):
    """No agent is registered."""

    transient = True
    may_quote = False


class LlmUnavailable(PeerError):
    """No configured model gave a completion in time."""

    transient = True
    may_quote = False


class LlmRefused(PeerError):
    """The provider refused for good: key, model name or content."""

    may_quote = False


class AllStepsFailed(PeerError):
    """No step succeeded and at least one failed; `code` follows from how they failed."""

    def __init__(
        self,
        message: str,
        *,
        code: Code,
        violations: Sequence[Violation] = (),
        retry_after_seconds: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, violations=violations, retry_after_seconds=retry_after_seconds, metadata=metadata)
        self.code = code


class RemoteError(PeerError):
    """A peer failed in words that are not of this tree: an agent in another language, or a proxy on the way.

    Transient only where the peer says so: by its code (UNAVAILABLE, ABORTED) or by a delay to wait.
    """

    def __init__(
        self,
        message: str,
        *,
        code: Code,
        remote_reason: str = "",
        violations: Sequence[Violation] = (),
        retry_after_seconds: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, violations=violations, retry_after_seconds=retry_after_seconds, metadata=metadata)
        self.code = code
        self.remote_reason = remote_reason
        self.transient = code in {Code.UNAVAILABLE, Code.ABORTED} or retry_after_seconds is not None


class DeadlineExceeded(MeshError):
    """The deadline passed."""

    may_quote = False


class RunCancelled(MeshError):
    """The caller left, or the run was cancelled."""

    may_quote = False


class ServerError(MeshError):
    """Our fault."""


class ModelPlanInvalid(ServerError):
    """The plan that the model made breaks the plan language."""


class Internal(ServerError):
    """A bug; the message is fixed and names the incident."""

    may_quote = False
