"""SYNTHESIZE over the wire: what is sent, that pieces come as they are written, and what it costs."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator_svc.adapters.prompts import WRITE
from orchestrator_svc.app.ports.planner import Question, Role, Turn
from orchestrator_svc.app.ports.synthesizer import Brief
from tests.adapters.llm import a_brief, asking, prices
from tests.fakes.llm_replies import Fails, Hangs, Streams, says
from tests.fakes.scripted_llm import ScriptedLlm

WHOLE = says("All is well.")


async def test_one_streamed_request_without_tools_has_the_question_and_the_data(llm: ScriptedLlm) -> None:
    llm.to_write(WHOLE)
    async with asking(llm.base_url) as mesh:
        assert await mesh.write() == ["All ", "is ", "well."]
    (request,) = llm.requests
    data = request.messages.pop()
    assert request.body == {
        "model": "model-a",
        "messages": [{"role": "system", "content": WRITE.text}],
        "temperature": 0.7,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert data["role"] == "user"
    assert '"Anything odd?"' in str(data["content"])
    assert '{"anomalies":[]}' in str(data["content"])


async def test_the_conversation_is_sent_before_it(llm: ScriptedLlm) -> None:
    llm.to_write(WHOLE)
    brief = a_brief()
    history = (Turn(Role.USER, "Hello"), Turn(Role.ASSISTANT, "Hi"))
    async with asking(llm.base_url) as mesh:
        await mesh.write(Brief(Question("And?", history), brief.plan, brief.outcomes, brief.catalog))
    assert [message["role"] for message in llm.requests[0].messages] == ["system", "user", "assistant", "user"]


async def test_usage_comes_with_the_stream(llm: ScriptedLlm) -> None:
    llm.to_write(says("All is well.", usage=(4000, 100), model="model-a-2024-08-06"))
    async with asking(llm.base_url, prices=prices(model_a=(1, 2))) as mesh:
        await mesh.write()
    assert mesh.ledger.models == ["model-a-2024-08-06"]
    assert (mesh.ledger.input_tokens, mesh.ledger.output_tokens) == (4000, 100)
    assert mesh.ledger.cost_usd == pytest.approx(0.0042)


async def test_without_stream_options_the_cost_is_not_known(llm: ScriptedLlm) -> None:
    llm.refuse("stream_options", Fails(400, param="stream_options"))
    llm.to_write(WHOLE, WHOLE)
    async with asking(llm.base_url, prices=prices(model_a=(1, 2))) as mesh:
        await mesh.write()
        await mesh.write()
    assert [(ledger.llm_calls, ledger.llm_requests, ledger.cost_usd) for ledger in mesh.ledgers] == [
        (1, 2, None),
        (1, 1, None),
    ]


async def test_pieces_come_while_the_model_is_still_writing(llm: ScriptedLlm) -> None:
    llm.to_write(Streams(("All ", "is "), "hang"))
    async with asking(llm.base_url) as mesh:
        pieces = mesh.writing()
        assert [await anext(pieces), await anext(pieces)] == ["All ", "is "]
        await pieces.aclose()


async def test_a_reader_that_leaves_takes_the_request_along(llm: ScriptedLlm) -> None:
    llm.to_write(Hangs())
    async with asking(llm.base_url) as mesh:
        writing = asyncio.ensure_future(mesh.write())
        await llm.arrived(1)
        writing.cancel()
        await llm.abandoned(1)
        await asyncio.wait([writing])
        assert writing.cancelled()


async def test_routing_and_writing_are_two_completions_of_their_run(llm: ScriptedLlm) -> None:
    llm.to_write(Streams(("All ",)), WHOLE)
    async with asking(llm.base_url) as mesh:
        await mesh.write()
    assert llm.completions(mesh.ledger.run_id) == [f"{mesh.ledger.run_id}:1"]
