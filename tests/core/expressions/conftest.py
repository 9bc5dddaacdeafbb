"""One environment and one set of results for all tests of expressions."""

from datetime import UTC, datetime

import pytest

from agentmesh.jsonvalues import Json
from orchestrator_svc.core.expressions import Environment, EvaluationFailed

NOW = datetime(2025, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)

RESULTS: dict[str, Json] = {
    "scan": {
        "anomalies": [{"component": "checkout", "score": 4.5}, {"component": "cart", "score": 2}],
        "count": 2,
        "name": "nightly",
        "note": None,
        "ok": True,
        "Exchange Rate": 1.25,
    },
    "conf": {},
    "item": {"component": "cart"},
    "index": 3,
}


class Expressions:
    """Compiles and evaluates in one go."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    def value(self, source: str, **results: Json) -> Json:
        return self.environment.compile(source).evaluate({**RESULTS, **results}, NOW)

    def failure(self, source: str, **results: Json) -> str:
        expression = self.environment.compile(source)
        with pytest.raises(EvaluationFailed) as caught:
            expression.evaluate({**RESULTS, **results}, NOW)
        return caught.value.message


@pytest.fixture
def plain() -> Expressions:
    return Expressions(Environment(["scan", "conf"]))


@pytest.fixture
def for_each() -> Expressions:
    return Expressions(Environment(["scan", "conf"], item=True))
