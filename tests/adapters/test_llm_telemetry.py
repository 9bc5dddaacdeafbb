"""Requests to language models in telemetry: a span and a duration each, tokens once, and nothing that was said."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import aclosing
from random import Random

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from agentmesh.deadline import Deadline
from agentmesh.errors import BudgetExceeded, LlmRefused, LlmUnavailable, MeshError
from agentmesh.telemetry import names
from agentmesh.telemetry.spans import span
from orchestrator_svc.adapters.llm_settings import LlmSettings
from orchestrator_svc.adapters.llm_telemetry import SECONDS, TOKENS, LlmTelemetry
from orchestrator_svc.adapters.openai_requests import Request
from orchestrator_svc.adapters.prompts import ROUTE, WRITE
from orchestrator_svc.core.budget import Budget
from tests.adapters.llm import KEY, asking
from tests.fakes.llm_replies import Completion, Fails, Hangs, Reply, Sends, Streams, calls, says
from tests.fakes.scripted_llm import ScriptedLlm
from tests.telemetry.recording import Metrics, Spans

GOOD = calls(("watch__scan", {}))
MARK = "marker-7f3a9c"
"""In what is asked and answered; must be in no span and no metric."""


def said(recorded: ReadableSpan) -> dict[str, object]:
    """The attributes, without the port, which differs from test to test."""
    return {key: value for key, value in (recorded.attributes or {}).items() if key != names.SERVER_PORT}


def reasons(spans: Spans) -> list[str | None]:
    """The error type of each request; None for one without. Says that status and attribute agree."""
    found: list[str | None] = []
    for chat in spans.named("chat"):
        reason = (chat.attributes or {}).get(names.ERROR_TYPE)
        assert (chat.status.status_code, chat.status.description) == (
            (StatusCode.UNSET, None) if reason is None else (StatusCode.ERROR, reason)
        )
        found.append(None if reason is None else str(reason))
    return found


# --- one request ---


async def test_a_request_to_route_is_a_client_span_beneath_the_current_one(llm: ScriptedLlm, spans: Spans) -> None:
    llm.to_route(calls(("watch__scan", {}), usage=(70, 9), model="model-a-2026"))
    async with asking(llm.base_url) as asked:
        with span("around") as around:
            await asked.route()
    chat = spans.only("chat")
    assert (chat.name, chat.kind, chat.status.status_code) == ("chat model-a", SpanKind.CLIENT, StatusCode.UNSET)
    assert chat.parent == around.get_span_context()
    assert said(chat) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "model-a",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.prompt.name": "route",
        "agentmesh.prompt.version": ROUTE.version,
        "agentmesh.attempt": 1,
        "server.address": "127.0.0.1",
        "gen_ai.response.model": "model-a-2026",
        "gen_ai.response.finish_reasons": ("tool_calls",),
        "gen_ai.usage.input_tokens": 70,
        "gen_ai.usage.output_tokens": 9,
    }
    assert (chat.attributes or {})["server.port"] == int(llm.origin.rpartition(":")[2])
    assert chat.events == ()


async def test_a_request_to_write_is_a_stream_with_the_time_to_its_first_piece(llm: ScriptedLlm, spans: Spans) -> None:
    llm.to_write(says("All is well.", usage=(50, 4)))
    async with asking(llm.base_url) as asked:
        await asked.write()
    chat = spans.only("chat")
    told = said(chat)
    first = told.pop("gen_ai.response.time_to_first_chunk")
    assert chat.end_time is not None
    assert chat.start_time is not None
    assert isinstance(first, float)
    assert 0 < first < (chat.end_time - chat.start_time) / 1e9
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "model-a",
        "gen_ai.request.temperature": 0.7,
        "gen_ai.request.stream": True,
        "gen_ai.prompt.name": "write",
        "agentmesh.prompt.version": WRITE.version,
        "agentmesh.attempt": 1,
        "server.address": "127.0.0.1",
        "gen_ai.response.model": "model-a",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 50,
        "gen_ai.usage.output_tokens": 4,
    }


def test_another_text_of_a_prompt_is_another_version() -> None:
    assert len({ROUTE.version, WRITE.version}) == 2
    assert all(len(prompt.version) == 12 for prompt in (ROUTE, WRITE))


async def test_a_limit_on_the_reply_is_told_by_the_name_that_the_model_takes_it_by(
    llm: ScriptedLlm, spans: Spans
) -> None:
    llm.refuse("max_tokens", Fails(400, param="max_tokens"))
    llm.to_route(GOOD)
    async with asking(llm.base_url, budget=Budget(tokens=20_000), reply_cap_tokens=300) as asked:
        await asked.route()
    assert ["max_completion_tokens" in request.body for request in llm.requests] == [False, True]
    assert [said(chat)["gen_ai.request.max_tokens"] for chat in spans.named("chat")] == [300, 300]


@pytest.mark.parametrize(
    ("settings", "provider", "address", "port"),
    [
        (LlmSettings(models=("m",)), "openai", "api.openai.com", 443),
        (LlmSettings(models=("m",), base_url="http://gpu.example/v1"), "openai", "gpu.example", 80),
        (LlmSettings(models=("m",), base_url="http://[::1]:8080/v1"), "openai", "::1", 8080),
        (
            LlmSettings(models=("m",), base_url="https://x.openai.azure.com/openai/v1"),
            "azure.ai.openai",
            "x.openai.azure.com",
            443,
        ),
        (
            LlmSettings(models=("m",), azure_endpoint="https://proxy.example:8443", azure_api_version="1", api_key="k"),
            "azure.ai.openai",
            "proxy.example",
            8443,
        ),
    ],
    ids=["OpenAI", "compatible", "IPv6", "Azure by its address", "Azure by its setting"],
)
async def test_provider_and_address_are_those_of_the_settings(
    spans: Spans, settings: LlmSettings, provider: str, address: str, port: int
) -> None:
    request = Request(ROUTE, {"model": "m"}, "run:1", 1, Deadline.after(30.0), 1.0)
    with LlmTelemetry(settings).chat(request):
        pass
    told = spans.only("chat").attributes or {}
    assert (told["gen_ai.provider.name"], told["server.address"], told["server.port"]) == (provider, address, port)


# --- what fails ---


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Fails(429, MARK), "429"),
        (Fails(500, MARK), "500"),
        (Fails(400, MARK, param="temperature"), "400"),
        (Streams(()), "connection"),
        (Hangs(), "timeout"),
        (Sends(b'{"choices": '), "unreadable"),
        (Sends(b'{"model": "model-a", "choices": []}'), "unusable"),
        (Completion(text=MARK, finish="length", usable=False), "unusable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_each_request_for_a_completion_is_a_span_of_its_own(
    llm: ScriptedLlm, spans: Spans, reply: Reply, reason: str
) -> None:
    llm.to_route(reply, GOOD)
    async with asking(llm.base_url, silence_seconds=0.25) as asked:
        await asked.route()
    assert reasons(spans) == [reason, None]
    assert [said(chat)["agentmesh.attempt"] for chat in spans.named("chat")] == [1, 2]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Streams(("All ", "is ")), "connection"),
        (Streams(("All ", "is "), then="end"), "stream"),
        (Streams(("All ",), error=MARK), "stream"),
        (Streams(("All ",), then="hang"), "timeout"),
        (Completion(text=" ", usable=False), "unusable"),
    ],
    ids=["cut", "ended early", "error event", "silence", "empty"],
)
async def test_a_stream_that_breaks_is_an_error_and_the_next_request_is_not(
    llm: ScriptedLlm, spans: Spans, reply: Reply, reason: str
) -> None:
    llm.to_write(reply, says("All is well."))
    async with asking(llm.base_url, silence_seconds=0.25) as asked:
        await asked.write()
    assert reasons(spans) == [reason, None]


async def test_what_the_model_declines_is_an_error_that_does_not_quote_it(llm: ScriptedLlm, spans: Spans) -> None:
    llm.to_route(Completion(refusal=MARK))
    async with asking(llm.base_url) as asked:
        with pytest.raises(LlmRefused):
            await asked.route()
    assert reasons(spans) == ["declined"]


async def test_a_reply_that_the_budget_cut_is_an_error_of_the_budget(llm: ScriptedLlm, spans: Spans) -> None:
    llm.to_route(Completion(finish="length", usable=False))
    async with asking(llm.base_url, budget=Budget(tokens=2_000)) as asked:
        with pytest.raises(BudgetExceeded):
            await asked.route()
    assert reasons(spans) == ["budget"]


async def test_the_next_model_has_a_span_with_its_name(llm: ScriptedLlm, spans: Spans) -> None:
    llm.to_route(Fails(404), GOOD)
    async with asking(llm.base_url, models=("model-a", "model-b")) as asked:
        await asked.route()
    assert [chat.name for chat in spans.named("chat")] == ["chat model-a", "chat model-b"]


async def test_a_request_that_is_never_sent_has_no_span(llm: ScriptedLlm, spans: Spans) -> None:
    async with asking(llm.base_url, budget=Budget(tokens=1)) as asked:
        with pytest.raises(BudgetExceeded):
            await asked.route()
        with pytest.raises(LlmUnavailable):
            await asked.route(seconds=0.0)
    assert spans.named("chat") == []


# --- who leaves ---


async def test_a_request_that_is_cancelled_is_no_error_and_says_so(llm: ScriptedLlm, spans: Spans) -> None:
    llm.to_route(Hangs())
    async with asking(llm.base_url) as asked:
        routing = asyncio.create_task(asked.route())
        await llm.arrived(1)
        routing.cancel()
        await asyncio.wait([routing])
    assert reasons(spans) == [None]
    assert said(spans.only("chat"))["agentmesh.outcome"] == "cancelled"


async def test_a_request_that_the_deadline_cuts_off_from_outside_timed_out(llm: ScriptedLlm, spans: Spans) -> None:
    llm.to_route(Hangs())
    async with asking(llm.base_url) as asked:
        with pytest.raises((LlmUnavailable, TimeoutError)):
            async with asyncio.timeout(0.2):
                await asked.route(seconds=0.2)
    assert reasons(spans) == ["timeout"]


async def test_a_reader_that_leaves_a_stream_ends_its_span(llm: ScriptedLlm, spans: Spans) -> None:
    llm.to_write(Streams(("All ", "is "), then="hang", usable=True))
    async with asking(llm.base_url) as asked, aclosing(asked.writing()) as pieces:
        assert await anext(pieces) == "All "
    assert spans.open == []
    assert reasons(spans) == [None]
    assert said(spans.only("chat"))["agentmesh.outcome"] == "cancelled"


async def test_a_reader_that_is_cancelled_within_a_stream_ends_its_span(llm: ScriptedLlm, spans: Spans) -> None:
    llm.to_write(Streams(("All ",), then="hang", usable=True))
    came = asyncio.Event()

    async def read() -> None:
        async with aclosing(asked.writing()) as pieces:
            async for _ in pieces:
                came.set()

    async with asking(llm.base_url) as asked:
        reading = asyncio.create_task(read())
        await came.wait()
        reading.cancel()
        await asyncio.wait([reading])
    assert spans.open == []
    assert said(spans.only("chat"))["agentmesh.outcome"] == "cancelled"


async def test_the_span_of_a_stream_is_not_current_for_its_reader(llm: ScriptedLlm, spans: Spans) -> None:
    llm.to_write(says("All is well."))
    async with asking(llm.base_url) as asked:
        with span("around") as around:
            async for _ in asked.writing():
                assert trace.get_current_span() is around


async def test_whatever_becomes_of_many_requests_at_once_each_span_ends_beneath_its_own_parent(
    spans: Spans, metrics: Metrics
) -> None:
    chance = Random(11)  # noqa: S311 - chance, no secret
    replies: list[Reply] = [
        GOOD,
        Fails(500),
        Hangs(),
        Streams(("All ",), then="hang", usable=True),
        says("All is well."),
    ]

    async def ask(number: int, seconds: float) -> None:
        with span(f"around {number}"), contextlib.suppress(MeshError, TimeoutError):
            if number % 2:
                await asked.route(seconds=seconds)
            else:
                async with aclosing(asked.writing(seconds=seconds)) as pieces:
                    async for _ in pieces:
                        if chance.random() < 0.3:
                            break

    async with (
        ScriptedLlm(lambda _: chance.choice(replies), max_completions=None) as llm,
        asking(llm.base_url) as asked,
    ):
        tasks = [asyncio.create_task(ask(number, chance.uniform(0.05, 0.5))) for number in range(120)]
        for task in tasks[::3]:
            asyncio.get_running_loop().call_later(chance.uniform(0, 0.3), task.cancel)
        await asyncio.wait(tasks)
    arounds = [around.get_span_context() for around in spans.named("around")]
    chats = spans.named("chat")
    assert spans.open == []
    assert len(chats) > 100
    assert all(chat.parent in arounds for chat in chats)
    assert sum(point.count for point in metrics.points("gen_ai.client.operation.duration")) == len(chats)
    assert set(reasons(spans)) <= {None, "500", "timeout", "unusable"}


# --- what is measured ---


async def test_duration_and_tokens_are_measured_by_model(llm: ScriptedLlm, spans: Spans, metrics: Metrics) -> None:
    llm.to_route(calls(("watch__scan", {}), usage=(70, 9)))
    llm.to_write(says("All is well.", usage=(50, 4)))
    async with asking(llm.base_url) as asked:
        await asked.route()
        await asked.go_on_to_write()
    about = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "model-a"}
    duration = metrics.only("gen_ai.client.operation.duration")
    assert (duration.attributes, duration.count, duration.bounds) == (about, 2, SECONDS)
    points = metrics.points("gen_ai.client.token.usage")
    assert [(point.attributes, point.value, point.count, point.bounds) for point in points] == [
        ({**about, "gen_ai.token.type": "input"}, 120, 2, TOKENS),
        ({**about, "gen_ai.token.type": "output"}, 13, 2, TOKENS),
    ]
    assert metrics.unit("gen_ai.client.operation.duration") == "s"
    assert metrics.unit("gen_ai.client.token.usage") == "{token}"


async def test_an_exemplar_leads_to_the_span_of_its_request(llm: ScriptedLlm, spans: Spans, metrics: Metrics) -> None:
    llm.to_route(GOOD)
    async with asking(llm.base_url) as asked:
        await asked.route()
    context_of_chat = spans.only("chat").get_span_context()
    assert context_of_chat is not None
    assert metrics.only("gen_ai.client.operation.duration").trace_ids == [context_of_chat.trace_id]


async def test_tokens_of_replies_that_cannot_be_used_count_as_the_ledger_counts_them(
    llm: ScriptedLlm, spans: Spans, metrics: Metrics
) -> None:
    llm.to_route(Completion(finish="length", usage=(70, 9), usable=False), calls(("watch__scan", {}), usage=(70, 5)))
    async with asking(llm.base_url) as asked:
        await asked.route()
    assert metrics.values("gen_ai.client.token.usage", "gen_ai.token.type") == {"input": 140, "output": 14}
    assert (asked.ledger.input_tokens, asked.ledger.output_tokens) == (140, 14)
    assert [said(chat)["gen_ai.usage.output_tokens"] for chat in spans.named("chat")] == [9, 5]


async def test_failures_and_cancellations_are_told_apart_from_answers(llm: ScriptedLlm, metrics: Metrics) -> None:
    llm.to_route(Fails(503), GOOD, Hangs())
    async with asking(llm.base_url) as asked:
        await asked.route()
        routing = asyncio.create_task(asked.route())
        await llm.arrived(3)
        routing.cancel()
        await asyncio.wait([routing])
    counts = {
        point.attributes.get("error.type"): point.count for point in metrics.points("gen_ai.client.operation.duration")
    }
    assert counts == {None: 1, "503": 1, "cancelled": 1}
    assert [ledger.llm_requests for ledger in asked.ledgers] == [2, 1]


async def test_words_of_the_provider_are_in_no_metric_and_bounded_in_spans(
    llm: ScriptedLlm, spans: Spans, metrics: Metrics
) -> None:
    llm.to_write(Completion(text="All is well.", finish=MARK, model="m" * 1000))
    async with asking(llm.base_url) as asked:
        await asked.write()
    told = said(spans.only("chat"))
    assert told["gen_ai.response.finish_reasons"] == ("_OTHER",)
    assert told["gen_ai.response.model"] == "m" * 128
    assert "mm" not in str(metrics.points("gen_ai.client.token.usage"))


# --- what was said ---


async def test_nothing_that_was_said_is_in_telemetry(llm: ScriptedLlm, spans: Spans, metrics: Metrics) -> None:
    llm.to_route(Fails(500, MARK), calls(("watch__scan", {"entity": MARK})))
    llm.to_write(says(f"{MARK} is well."))
    async with asking(llm.base_url) as asked:
        await asked.route(f"What of {MARK}?")
        await asked.go_on_to_write()
    told = [one.to_json() for one in spans.ended]
    told += [str(metrics.points(name)) for name in (names.GEN_AI_OPERATION_DURATION, names.GEN_AI_TOKEN_USAGE)]
    assert len(spans.named("chat")) == 3
    assert not any(MARK in text or KEY in text for text in told)


@pytest.mark.usefixtures("capturing")
async def test_where_content_is_captured_the_messages_are_on_the_span(llm: ScriptedLlm, spans: Spans) -> None:
    llm.to_route(calls(("watch__scan", {"entity": "shop"})))
    llm.to_write(says("All is well."))
    async with asking(llm.base_url) as asked:
        await asked.route("Anything odd?")
        await asked.go_on_to_write()
    routed, written = (chat.attributes or {} for chat in spans.named("chat"))
    assert json.loads(str(routed["gen_ai.input.messages"])) == [
        {"role": "system", "parts": [{"type": "text", "content": ROUTE.text}]},
        {"role": "user", "parts": [{"type": "text", "content": "Anything odd?"}]},
    ]
    call = {"type": "tool_call", "name": "watch__scan", "arguments": '{"entity": "shop"}'}
    assert json.loads(str(routed["gen_ai.output.messages"])) == [
        {"role": "assistant", "parts": [call], "finish_reason": "tool_calls"}
    ]
    text = {"type": "text", "content": "All is well."}
    assert json.loads(str(written["gen_ai.output.messages"])) == [
        {"role": "assistant", "parts": [text], "finish_reason": "stop"}
    ]


# --- what the provider is told ---


async def test_the_provider_is_not_told_of_the_trace_by_default(llm: ScriptedLlm, spans: Spans) -> None:
    llm.to_route(GOOD)
    async with asking(llm.base_url) as asked:
        with span("around"):
            token = context.attach(baggage.set_baggage("tenant", "acme"))
            await asked.route()
            context.detach(token)
    [request] = llm.requests
    assert not {"traceparent", "tracestate", "baggage"} & request.headers.keys()


async def test_where_it_is_configured_the_provider_gets_the_context_of_each_request(
    llm: ScriptedLlm, spans: Spans
) -> None:
    llm.to_route(Fails(500), GOOD)
    llm.to_write(says("All is well."))
    async with asking(llm.base_url, trace_context=True) as asked:
        token = context.attach(baggage.set_baggage("tenant", "acme"))
        await asked.route()
        await asked.go_on_to_write()
        context.detach(token)
    expected = []
    for chat in spans.named("chat"):
        of = chat.get_span_context()
        assert of is not None
        expected.append(f"00-{trace.format_trace_id(of.trace_id)}-{trace.format_span_id(of.span_id)}")
    assert [request.headers["traceparent"].rpartition("-")[0] for request in llm.requests] == expected
    assert [request.headers["baggage"] for request in llm.requests] == ["tenant=acme"] * 3
