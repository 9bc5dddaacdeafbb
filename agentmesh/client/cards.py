"""Cards as callers write them: AgentCard in the protobuf JSON mapping."""

from __future__ import annotations

from google.protobuf import json_format

from agentmesh import errors
from agentmesh.errors import Violation, ViolationReason
from agentmesh.jsonvalues import JsonObject
from agentmesh.v1.card_pb2 import AgentCard


def card_message(card: JsonObject) -> AgentCard:
    """Return the message; the registry judges what it says.

    Raises:
        errors.RequestInvalid: It has a field that no card has, or a value that the field does not take.
    """
    try:
        return json_format.ParseDict(card, AgentCard())
    except (json_format.ParseError, RecursionError) as error:
        why = "too deeply nested" if isinstance(error, RecursionError) else str(error)
        violation = Violation("card", ViolationReason.SHAPE, why)
        raise errors.RequestInvalid("this is no card", violations=[violation]) from None
