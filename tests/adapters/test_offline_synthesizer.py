"""Answers without a language model: readable, complete about what is missing, harmless, bounded."""

from __future__ import annotations

import json
import math
import unicodedata
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentmesh.cards import Effect
from agentmesh.deadline import Deadline
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.adapters.offline_synthesizer import OfflineSynthesizer
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.planner import Question
from orchestrator_svc.app.ports.synthesizer import Brief
from orchestrator_svc.core.catalog import Catalog, Skill
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason, failed, gather, skipped
from orchestrator_svc.core.plan import Plan
from orchestrator_svc.core.validate import validate

MOST_BYTES = 17_000
SEEING: JsonObject = {
    "type": "object",
    "properties": {"place": {"type": "string"}, "days": {"type": "integer", "default": 3}, "unit": {"type": "string"}},
    "additionalProperties": False,
}
CATALOG = Catalog.of([
    Skill("weather", "get_forecast", "Forecast of the weather.", Effect.READ_ONLY, SEEING,
          agent_description="Knows the sky.", examples=("Will it rain in Oslo?",)),
    Skill("stock", "list_shops", "Shops that have an article.", Effect.READ_ONLY, SEEING),
    Skill("mail", "send_letter", "Sends a letter.", Effect.SIDE_EFFECT, SEEING),
    Skill("archive", "get_forecast", "Forecasts of the past.", Effect.READ_ONLY, SEEING),
])  # fmt: skip


def step(name: str, skill: str = "weather__get_forecast", **parts: Json) -> JsonObject:
    return {"id": name, "skill": skill, **parts}


def good(result: JsonObject) -> Outcome:
    return Outcome(StepOutcome.SUCCEEDED, result=result, attempts=1)


def brief(*steps: JsonObject, **outcomes: Outcome) -> Brief:
    written: list[Json] = [*steps]
    return Brief(Question("?"), validate({"steps": written}, CATALOG), outcomes, CATALOG)


async def pieces(asked: Brief) -> list[str]:
    writing = OfflineSynthesizer().write(asked, Ledger(run_id="run"), Deadline.after(10))
    return [cast("str", piece) async for piece in writing]


async def text(asked: Brief) -> str:
    return "".join(await pieces(asked))


async def body(result: JsonObject) -> str:
    """What stands below the heading of the only step."""
    answer = await text(brief(step("a"), a=good(result)))
    heading, _, rest = answer.partition("\n\n")
    assert heading == "## Get forecast"
    return rest


# ---- results


async def test_fields_are_listed_with_units_and_nested_ones_short() -> None:
    assert await body({
        "place": "Oslo", "measured_at": "2026-01-02T03:04:05Z", "is_open": True, "comment": None, "note": "",
        "disk_bytes": 1_610_612_736, "rain_percent": 12.3456789, "age_seconds": 93_784, "delay_ms": 3.5,
        "read_bytes_per_second": 2048, "count": 50051, "ratio": 0.123456789, "price": 1234567.89,
        "wind": {"speed": 7.5, "from": "north"},
        "days": ["Mon", "Tue"], "warnings": [], "extra": {},
    }) == """\
- place: Oslo
- measured at: 2026-01-02T03:04:05Z
- is open: yes
- comment: none
- note: (empty)
- disk: 1.5 GiB
- rain: 12.35 %
- age: 1 d 2 h
- delay: 3.5 ms
- read: 2 KiB/s
- count: 50051
- ratio: 0.1235
- price: 1234567.89
- wind: speed 7.5, from north
- days: Mon, Tue
- warnings: none found
- extra: nothing"""  # fmt: skip


async def test_lists_of_objects_are_aligned_tables_below_the_fields() -> None:
    assert await body({
        "anomalies": [
            {"component": "checkout", "value": 93.123456, "seen_at": None, "memory_bytes": 1048576, "a|b": "x|y"},
            {"component": "天気", "value": 7, "seen_at": None, "memory_bytes": None, "tags": ["a", "b"]},
        ],
        "total": 2,
    }) == """\
- total: 2

Anomalies (2):

| component | value | memory | a\\|b | tags |
| --------- | ----: | -----: | ---- | ---- |
| checkout  | 93.12 |  1 MiB | x\\|y | -    |
| 天気      |     7 |      - | -    | a, b |"""  # fmt: skip


async def test_nested_objects_are_indented_and_their_tables_say_where_they_were() -> None:
    assert await body({
        "machine": {
            "load": {"one": 0.5, "five": 0.25},
            "limits": {"cpu": {"soft": {"value": 1}, "hard": {"value": 2}}},
            "disks": [{"mount": "/", "used_percent": 9.1}],
            "mixed": [1, {"a": 2}, [3, 4], None],
        },
    }) == """\
- machine:
  - load: one 0.5, five 0.25
  - limits:
    - cpu:
      - soft: value 1
      - hard: value 2
  - mixed:
    - 1
    - a 2
    - 3, 4
    - none

Machine, disks (1):

| mount |  used |
| ----- | ----: |
| /     | 9.1 % |"""  # fmt: skip


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ({}, "The result is empty."),
        ({"result": []}, "Nothing was found."),
        ({"result": {}}, "The result is empty."),
        ({"result": None}, "There is no result."),
        ({"result": 42}, "42"),
        ({"result": 2.0}, "2"),
        ({"result": False}, "no"),
        ({"result": "Sun\nand # rain"}, "> Sun\n> and # rain"),
        ({"result": "  "}, "The text is empty."),
        ({"result": ["a", "b"]}, "- a\n- b"),
        ({"result": [{"a": 1}]}, "| a   |\n| --: |\n|   1 |".replace("| a   |", "|   a |")),
        ({"result": [{"a": None}, {"b": None}]}, "2 without any content"),
        ({"result": 1, "more": 2}, "- result: 1\n- more: 2"),
        ({"used_bytes": 1, "used_percent": 2}, "- used bytes: 1 B\n- used percent: 2 %"),
        ({"note": "one\ntwo"}, "- note:\n  > one\n  > two"),
        ({"x": math.nan, "y": math.inf, "z": -math.inf}, "- x: not a number\n- y: infinite\n- z: minus infinite"),
        ({"big": 10**40, "tiny": 1.23456789e-30}, "- big: an integer of 133 bits\n- tiny: 1.235e-30"),
        ({"wait_seconds": 0.25}, "- wait: 0.25 s"),
        ({"wait_seconds": 125}, "- wait: 2 min 5 s"),
        ({"wait_seconds": 7200}, "- wait: 2 h"),
        ({"wait_seconds": -7200}, "- wait: -7200 s"),
        ({"size_bytes": "12 MB"}, "- size: 12 MB"),
        ({"bytes": 1023}, "- bytes: 1023 B"),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)  # fmt: skip
async def test_shapes(result: JsonObject, shown: str) -> None:
    assert await body(result) == shown


async def test_fields_stand_in_the_order_in_which_the_schema_requires_them() -> None:
    scan = Skill("watch", "scan", "Finds anomalies.", Effect.READ_ONLY, output_schema={
        "type": "object",
        "properties": {"found": {"type": "array", "items": {"$ref": "#/$defs/one"}}, "at": {}, "also": {}, "near": {}},
        "required": ["near", "found", "at"],
        "$defs": {"one": {"anyOf": [{"type": "null"}, {"type": "object", "required": ["name", "value"]}]}},
    })  # fmt: skip
    catalog = Catalog.of([scan])
    plan = validate({"steps": [step("a", "watch__scan"), step("b", "watch__scan", for_each=[1])]}, catalog)
    result: JsonObject = {"also": 0, "at": 1, "found": [{"a": 2, "name": "x", "value": 3}], "near": {"b": 4, "a": 5}}
    outcomes = {"a": good(result), "b": gather([good(result)], optional=False)}
    answer = await text(Brief(Question("?"), plan, outcomes, catalog))
    lines = """\
- near: b 4, a 5
- at: 1
- also: 0

Found (1):

| name | value |   a |
| ---- | ----: | --: |
| x    |     3 |   2 |"""
    assert answer == f"## Scan\n\n{lines}\n\n## Scan\n\n### item 1\n\n{lines}"


async def test_long_lists_texts_and_objects_are_cut_and_say_so() -> None:
    answer = await body({
        "words": [f"w{number}" for number in range(20)],
        "text": "x" * 1000,
        "log": "\n".join(f"line {number}" for number in range(50)),
        "rows": [{"n": number} for number in range(40)],
        "table": [{f"column {number}": "y" * 30 for number in range(12)}],
        "any": [[number] for number in range(30)],
        **{f"field{number}": number for number in range(60)},
    })  # fmt: skip
    assert "- words: w0, w1, w2, w3, w4, w5, w6, w7 and 12 more\n" in answer
    assert "  > line 19\n  > ... and 30 more lines\n" in answer
    assert f"> {'x' * 900}" in answer
    assert "|  14 |\n\n... and 25 more\n" in answer
    assert "(not shown: column 3, column 4, column 5, column 6, column 7, column 8, column 9, column 10" in answer
    assert "  - 9\n  - and 20 more\n" in answer
    assert "- and 26 more\n" in answer


# ---- steps


async def test_headings_name_the_skill_and_the_arguments_that_matter() -> None:
    answer = await text(brief(
        step("a", arguments={"place": "Oslo", "days": 3}),
        step("b", arguments={"place": "${a.nearest[0].name}", "days": 5}),
        step("c", "stock__list_shops", arguments={"place": "${a.name} and ${b.name}"}),
        step("d", "archive__get_forecast", arguments={"place": "${a.nearest.filter(x, x.far).map(x, x.name)[0]}"}),
        step("e", "mail__send_letter", arguments={"place": "$${HOME}\x1b[2J"}),
        a=good({"name": "Oslo", "nearest": [{"name": "Moss", "far": True}]}),
        b=good({"name": "Moss"}), c=good({}), d=good({}), e=good({}),
    ))  # fmt: skip
    assert [line for line in answer.splitlines() if line.startswith("#")] == [
        "## Get forecast (weather): Oslo",
        "## Get forecast (weather): place Moss, days 5",
        "## List shops: Oslo and Moss",
        "## Get forecast (archive)",
        "## Send letter: ${HOME}\ufffd[2J",
    ]


async def test_a_partial_run_says_first_what_is_missing_and_why() -> None:
    answer = await text(brief(
        step("a", arguments={"place": "Oslo"}),
        step("b", arguments={"place": "Moss"}),
        step("c", "stock__list_shops", arguments={"place": "${b.name}"}),
        step("d", "mail__send_letter", arguments={"place": "Bergen"}),
        a=good({"rain": True}),
        b=Outcome(StepOutcome.TIMED_OUT, StepReason.DEADLINE_EXCEEDED, "20 s"),
        c=skipped(StepReason.UPSTREAM_FAILED, ["b"], "`b` is TIMED_OUT"),
        d=Outcome(StepOutcome.FAILED, StepReason.AGENT_UNAVAILABLE, "the connection broke", effect_unknown=True),
    ))  # fmt: skip
    assert (
        answer
        == """\
This answer is incomplete. What is missing:

- **Get forecast: Moss**: the agent did not answer in time.
- **List shops**: not done: it needs "Get forecast: Moss", which did not succeed.
- **Send letter: Bergen**: the agent could not be reached. Its effect may or may not have happened.

## Get forecast: Oslo

- rain: yes"""
    )


async def test_it_says_that_the_budget_allowed_no_model_to_write_before_anything_else() -> None:
    asked = brief(
        step("a", arguments={"place": "Oslo"}),
        step("b", arguments={"place": "Moss"}),
        a=good({"rain": True}),
        b=failed(StepReason.BUDGET_EXCEEDED, "the budget of this run allows 1 agent call"),
    )
    answer = await text(replace(asked, over_budget=True))
    assert (
        answer
        == """\
The budget of this question did not allow a language model to write the answer; this is what the agents gave.

This answer is incomplete. What is missing:

- **Get forecast: Moss**: the budget of this question allows no further call of an agent.

## Get forecast: Oslo

- rain: yes"""
    )
    whole = replace(brief(step("a"), a=good({"rain": True})), over_budget=True)
    assert (await text(whole)).startswith("The budget of this question did not allow")


async def test_what_was_not_needed_says_so_in_words() -> None:
    answer = await text(brief(
        step("a", "stock__list_shops"),
        step("b", arguments={"place": "${a.open_shops[0]}"}, when="size(a.open_shops) > 0"),
        step("c", "mail__send_letter", arguments={"place": "${b.x}"}),
        step("d", "archive__get_forecast", when="a.total > 3.0"),
        a=good({"open_shops": [], "total": 0}),
        b=skipped(StepReason.CONDITION_FALSE, message="`size(a.open_shops) > 0` is false"),
        c=skipped(StepReason.UPSTREAM_SKIPPED, ["b"]),
        d=skipped(StepReason.CONDITION_FALSE),
    ))  # fmt: skip
    assert (
        answer
        == """\
## List shops

- open shops: none found
- total: 0

## Get forecast (weather)

Not needed: no open shops were found.

## Send letter

Not needed: it follows "Get forecast (weather)", which was not needed.

## Get forecast (archive)

Not needed: its condition does not hold (`a.total > 3.0`)."""
    )


async def test_what_was_optional_is_named_last() -> None:
    answer = await text(brief(
        step("a"), step("b", "stock__list_shops", optional=True),
        a=good({"rain": True}), b=failed(StepReason.AGENT_ERROR, "no such article."),
    ))  # fmt: skip
    assert (
        answer
        == """\
## Get forecast

- rain: yes

What could not be had, and was optional:

- **List shops**: the agent answered with an error: no such article."""
    )


async def test_flat_results_of_items_are_one_table_and_failed_items_are_named() -> None:
    answer = await text(brief(
        step("a", "stock__list_shops"),
        step("b", for_each="a.shops", arguments={"place": "${item.town}", "unit": "C"}, optional=True),
        a=good({"shops": [{"town": "Oslo"}, {"town": "Moss"}, {"town": "Bodø"}]}),
        b=gather([good({"rain_percent": 10}), failed(StepReason.AGENT_ERROR, "unknown town"),
                  good({"rain_percent": 95.5})], optional=True),
    ))  # fmt: skip
    assert (
        answer.partition("## Get forecast")[2]
        == """\
: C

1 of 3 did not succeed:

- Moss: the agent answered with an error: unknown town.

| place |   rain |
| ----- | -----: |
| Oslo  |   10 % |
| Bodø  | 95.5 % |"""
    )


async def test_other_results_of_items_stand_under_their_names() -> None:
    answer = await text(brief(
        step("a", for_each=["Oslo", "Moss"], arguments={"place": "${item}"}),
        a=gather([good({"days": [{"rain": True}]}), good({"days": []})], optional=False),
    ))  # fmt: skip
    assert (
        answer
        == """\
## Get forecast

### Oslo

Days (1):

| rain |
| ---- |
| yes  |

### Moss

- days: none found"""
    )


async def test_items_without_a_name_are_numbered() -> None:
    answer = await text(brief(
        step("a", for_each=["Oslo", "Moss"]), a=gather([good({"result": 1}), good({"result": 2})], optional=False)
    ))  # fmt: skip
    assert answer.splitlines()[-2:] == ["|    1 |      1 |", "|    2 |      2 |"]


async def test_an_empty_list_of_items_is_said() -> None:
    answer = await text(brief(step("a", for_each=[]), a=gather([], optional=False)))
    assert answer == "## Get forecast\n\nThere was nothing to do it for: the list is empty."


async def test_items_that_failed_make_the_answer_incomplete_and_the_others_are_kept() -> None:
    answer = await text(brief(
        step("a", for_each=["Oslo", "Moss"], arguments={"place": "${item}"}),
        a=gather([good({"rain": True}), failed(StepReason.NO_ENDPOINT, "")], optional=False),
    ))  # fmt: skip
    assert (
        answer
        == """\
This answer is incomplete. What is missing:

- **Get forecast**: it failed for 1 of 2.

## Get forecast

1 of 2 did not succeed:

- Moss: no agent that can do it is running.

| place | rain |
| ----- | ---- |
| Oslo  | yes  |"""
    )


async def test_a_result_that_breaks_its_schema_is_shown_where_it_was_kept() -> None:
    kept = Outcome(StepOutcome.FAILED, StepReason.RESULT_INVALID, "`id` is missing", result={"sent": True})
    assert (
        await text(brief(step("a", "mail__send_letter"), a=kept))
        == """\
This answer is incomplete. What is missing:

- **Send letter**: the agent's result does not have the form that it should have: `id` is missing.

## Send letter

What the agent gave all the same:

- sent: yes"""
    )


@pytest.mark.parametrize("reason", StepReason)
async def test_every_reason_is_a_sentence(reason: StepReason) -> None:
    outcome = Outcome(StepOutcome.SKIPPED, reason, because_of=("b",))
    answer = await text(brief(step("a"), step("b", "stock__list_shops"), a=outcome, b=good({})))
    assert reason.value not in answer
    assert "did not succeed" not in answer or reason is StepReason.UPSTREAM_FAILED


# ---- no steps


async def test_without_steps_it_says_what_the_mesh_can_do() -> None:
    assert (
        await text(Brief(Question("?"), Plan(()), {}, CATALOG))
        == """\
No agent can answer this. What can be asked for here:

- **archive**
  - get_forecast: Forecasts of the past.
- **mail**
  - send_letter: Sends a letter.
- **stock**
  - list_shops: Shops that have an article.
- **weather**: Knows the sky.
  - get_forecast: Forecast of the weather. For example: "Will it rain in Oslo?\""""
    )


async def test_of_many_skills_some_are_named() -> None:
    catalog = Catalog.of([Skill(f"agent{n:02}", "work", "Works.\n\x1b[31m" * 100, Effect.READ_ONLY) for n in range(40)])
    answer = await text(Brief(Question("?"), Plan(()), {}, catalog))
    assert answer.count("- work") == 15
    assert answer.endswith("\n- and 25 more")
    assert_harmless(answer)


async def test_an_empty_catalog_is_said() -> None:
    assert await text(Brief(Question("?"), Plan(()), {}, Catalog.of([]))) == "No agent can answer this: none is there."


# ---- whatever comes


NAMES = st.text(st.characters(), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=30),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)
HOSTILE = "\x1b]0;pwned\x07\x1b[2J\r\n\x9b31m\u202eevil\u2066\u2028# no heading\x00\ud800"


THREE_WAYS = brief(step("a"), step("b", for_each=[1, 2], optional=True), step("c")).plan


def nested(depth: int) -> JsonObject:
    value: JsonObject = {"end": 1}
    for level in range(depth):
        value = {"a": [value, 1]} if level % 3 else {"b": value}
    return value


@given(st.dictionaries(NAMES, JSON, max_size=6))
@example(
    result={HOSTILE: HOSTILE, "list": [HOSTILE], "rows": [{HOSTILE: HOSTILE}], "object": {HOSTILE: {"a": HOSTILE}}}
)
@example(result={"#": [{"": None}]})
@example(result={"result": HOSTILE * 3})
@example(result=nested(5))
@example(result=nested(200))
async def test_any_result_is_shown_harmlessly(result: JsonObject) -> None:
    outcomes = {
        "a": good(result),
        "b": gather([good(result), failed(StepReason.AGENT_ERROR, HOSTILE)], optional=True),
        "c": failed(StepReason.EXPRESSION_FAILED, HOSTILE),
    }
    answer = await text(Brief(Question("?"), THREE_WAYS, outcomes, CATALOG))
    assert_harmless(answer)
    assert answer.startswith("This answer is incomplete.")
    assert all(line in ("## Get forecast", "### item 1") for line in answer.splitlines() if line.startswith("#"))


@pytest.mark.parametrize(
    "result",
    [
        {f"field{number}": number for number in range(100_000)},
        {"rows": [{f"c{column}": "x" * 20 for column in range(20)} for _ in range(2500)]},
        {f"t{number}": [{"a": 1}] * 2000 for number in range(50)},
        {"text": "x" * 1_000_000},
        {"text": "x\n" * 400_000},
        {"k" * 1_000_000: 1},
        {"天" * 10: ["気" * 1000] * 300},
        {
            f"a{a}": {f"b{b}": {f"c{c}": {"d": list(range(20))} for c in range(12)} for b in range(12)}
            for a in range(60)
        },
        {"list": [[[["x"] * 10] * 10] * 10] * 100},
    ],
    ids=["fields", "rows", "tables", "line", "lines", "name", "wide", "tree", "lists"],
)
async def test_large_results_are_bounded(result: JsonObject) -> None:
    one = await text(brief(step("a"), a=good(result)))
    names = [f"s{number}" for number in range(10)]
    items = gather([good(result)] * 20, optional=False)
    many = await text(brief(*(step(name) for name in names), step("i", for_each=[*range(20)]),
                            **dict.fromkeys(names, good(result)), i=items))  # fmt: skip
    for answer in (one, many):
        assert_harmless(answer)
    assert many.count("## Get forecast") >= 11


async def test_a_schema_that_refers_to_itself_is_followed_no_further_than_is_shown() -> None:
    tree: JsonObject = {"type": "object", "required": ["b"], "additionalProperties": {"$ref": "#"}}
    catalog = Catalog.of([Skill("watch", "scan", "Finds.", Effect.READ_ONLY, output_schema=tree)])
    plan = validate({"steps": [step("a", "watch__scan")]}, catalog)
    wide: JsonObject = {f"a{a}": {f"b{b}": {"c": {}} for b in range(100)} for a in range(100)}
    for result in (wide, nested(200)):
        assert_harmless(await text(Brief(Question("?"), plan, {"a": good(result)}, catalog)))


async def test_a_small_result_is_whole_beside_a_huge_one() -> None:
    answer = await text(brief(
        step("a"), step("b", "stock__list_shops"),
        a=good({f"a{a}": {f"b{b}": {"c": {"d": {"e": 1}}} for b in range(40)} for a in range(40)}),
        b=good({"shops": [{"town": f"town {number}"} for number in range(15)]}),
    ))  # fmt: skip
    assert "(The rest is left out.)" in answer
    assert answer.rstrip().endswith("| town 14 |")


async def test_it_comes_piece_by_piece_and_equal_briefs_give_equal_pieces() -> None:
    asked = brief(step("a"), a=good({"x": 1, "rows": [{"y": 2}]}))
    written = await pieces(asked)
    assert [piece.strip() for piece in written] == [
        "## Get forecast", "- x: 1", "Rows (1):", "|   y |\n| --: |\n|   2 |"
    ]  # fmt: skip
    assert written == await pieces(asked)


async def test_no_completion_is_asked_for() -> None:
    ledger = Ledger(run_id="run")
    asked = brief(step("a"), a=good({"x": 1}))
    async for _ in OfflineSynthesizer().write(asked, ledger, Deadline.after(0)):
        pass
    assert (ledger.llm_calls, ledger.llm_requests) == (0, 0)


def assert_harmless(answer: str) -> None:
    """Bounded UTF-8 without anything that a terminal obeys."""
    assert len(answer.encode()) <= MOST_BYTES
    bad = {unicodedata.category(character) for character in answer if character != "\n"} & {"Cc", "Cs"}
    assert not bad
    assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u2028\u2029") & set(answer)
