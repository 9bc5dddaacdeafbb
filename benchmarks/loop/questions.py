"""The questions, what a model that understands them would do, and the facts that every right answer holds.

The scripted model has no other knowledge. It is the same for every arm: what an arm may do in one turn decides how many
turns it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from agentmesh.jsonvalues import Json, JsonObject

REPORT: Final = "data_agent__get_report"
TRENDS: Final = "analytics_agent__get_trends"
CONFIG: Final = "config_agent__check_config"
ECHO: Final = "echo_agent__echo"

Results: TypeAlias = "Mapping[str, JsonObject]"
"""By skill id; no question uses a skill twice."""
Facts: TypeAlias = "dict[str, Json]"


def _always(results: Results) -> bool:
    del results
    return True


@dataclass(frozen=True, slots=True)
class Use:
    """One skill that the question needs."""

    skill: str
    arguments: Callable[[Results], JsonObject]
    needs: tuple[str, ...] = ()
    """Skills whose results must be there first."""
    wanted: Callable[[Results], bool] = _always
    """Whether the question still asks for it, given those results."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question of the comparison."""

    text: str
    shape: str
    uses: tuple[Use, ...]
    steps: tuple[JsonObject, ...] = ()
    """In the plan language, for a question that plain tool calls cannot express."""

    def next_uses(self, results: Results) -> tuple[Use, ...]:
        """What can be called now and was not; empty when the question can be answered."""
        return tuple(
            use
            for use in self.uses
            if use.skill not in results and all(name in results for name in use.needs) and use.wanted(results)
        )


def facts_of(results: Results) -> Facts:
    """What is the same in every right answer, whoever gives it: the metrics of the moment are not."""
    facts: Facts = {}
    for skill, result in results.items():
        match skill:
            case "data_agent__get_report":
                facts["report of"] = result["entity"]
            case "analytics_agent__get_trends":
                facts["anomalies"] = result["anomaly_count"]
                facts["first in"] = _first_anomaly(results)
            case "config_agent__check_config":
                facts["config of"] = result["component"]
                facts["sha256"] = result["sha256"]
            case "echo_agent__echo":
                facts["echo"] = result["text"]
            case _:
                raise ValueError(f"no question uses {skill}")
    return dict(sorted(facts.items()))


def _first_anomaly(results: Results) -> Json:
    anomalies = results[TRENDS]["anomalies"]
    assert isinstance(anomalies, list)
    first = anomalies[0] if anomalies else None
    return first["component"] if isinstance(first, dict) else None


def _exactly(**arguments: Json) -> Callable[[Results], JsonObject]:
    return lambda _: dict(arguments)


SINGLE: Final = Question(
    text="What are the current system metrics?",
    shape="one agent",
    uses=(Use(REPORT, _exactly(entity="host")),),
)
PARALLEL: Final = Question(
    text="Get me the metrics, the trend analysis, and the config of the orchestrator",
    shape="three agents that do not need each other",
    uses=(
        Use(REPORT, _exactly(entity="host")),
        Use(TRENDS, _exactly(entity="host")),
        Use(CONFIG, _exactly(component="orchestrator")),
    ),
)
DEPENDENT: Final = Question(
    text="Check for anomalies, then if found, pull the config for that component",
    shape="two agents, the second under a condition and with the result of the first",
    uses=(
        Use(TRENDS, _exactly(entity="host")),
        Use(
            CONFIG,
            lambda results: {"component": _first_anomaly(results)},
            needs=(TRENDS,),
            wanted=lambda results: _first_anomaly(results) is not None,
        ),
    ),
    steps=(
        {"id": "scan", "skill": TRENDS, "arguments": {"entity": "host"}},
        {
            "id": "conf",
            "skill": CONFIG,
            "arguments": {"component": "${scan.anomalies[0].component}"},
            "when": "size(scan.anomalies) > 0",
        },
    ),
)
QUESTIONS: Final = (SINGLE, PARALLEL, DEPENDENT)

LIGHT: Final = Question(
    text="Echo 'hello'",
    shape="an agent that does nothing",
    uses=(Use(ECHO, _exactly(text="hello")),),
)
"""For Asks a second."""
