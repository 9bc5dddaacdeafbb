"""What can be wrong with an expression, before it runs and when it runs. Messages are for whoever wrote the plan."""

from __future__ import annotations


class ExpressionInvalid(Exception):
    """The expression does not compile. The message says what, in which column, and where possible what to write."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UnknownName(ExpressionInvalid):
    """The expression mentions a name that is not declared where it stands."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class EvaluationFailed(Exception):
    """The expression ended in an error, or in a value that JSON cannot carry."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
