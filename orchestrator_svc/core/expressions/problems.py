"""What can be wrong with an expression, before it runs and when it runs. Messages are for whoever wrote the plan."""

from __future__ import annotations

from collections.abc import Mapping


class ExpressionInvalid(Exception):
    """The expression does not compile. The message says what, in which column, and where possible what to write."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ExpressionTooLong(ExpressionInvalid):
    """The expression has more characters than are allowed."""


class UnknownName(ExpressionInvalid):
    """The expression mentions names that are not declared where it stands.

    Attributes:
        messages: What to say of each name, in reading order; `message` is about the first.
    """

    def __init__(self, messages: Mapping[str, str]) -> None:
        super().__init__(next(iter(messages.values())))
        self.messages = messages

    @property
    def name(self) -> str:
        return next(iter(self.messages))


class EvaluationFailed(Exception):
    """The expression ended in an error, or in a value that JSON cannot carry."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
