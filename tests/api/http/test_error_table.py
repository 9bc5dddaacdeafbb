"""Every error of the table, sent through both doors: the same exception comes out."""

from __future__ import annotations

import pytest

from agentmesh import errors
from agentmesh.errors import MeshError
from agentmesh.reasons import TABLE
from agentmesh.v1 import agent_service_pb2 as pb
from tests.api.http.client import CONNECT_STREAM, connected, error_in, events_in, framed, frames_in
from tests.api.http.support import CALL, EXECUTE_STREAM, TwoDoors, two_doors
from tests.transport.support import Context, Messages, call
from tests.transport.test_status import facts, made


async def _through_grpc(doors: TwoDoors) -> MeshError:
    with pytest.raises(MeshError) as caught:
        await doors.stub.Execute(call(), timeout=10)
    return caught.value


async def _through_grpc_stream(doors: TwoDoors) -> MeshError:
    with pytest.raises(MeshError) as caught:
        async for _ in doors.stub.ExecuteStream(pb.ExecuteStreamRequest(call=call()), timeout=10):
            pass
    return caught.value


async def _through_connect_stream(doors: TwoDoors) -> MeshError:
    async with connected(doors.http) as connection:
        answer = await connection.call(EXECUTE_STREAM, framed({"call": CALL}), CONNECT_STREAM)
    assert answer.status == 200
    messages, end = frames_in(answer.body)
    assert messages == []
    return error_in(end["error"])


async def _through_events(doors: TwoDoors) -> MeshError:
    async with connected(doors.http) as connection:
        answer = await connection.call(EXECUTE_STREAM, {"call": CALL})
    ((name, said),) = events_in(answer.body)
    assert name == "error"
    return error_in(said)


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
async def test_every_error_is_the_same_through_both_doors(kind: type[MeshError]) -> None:
    async def fail(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        raise made(kind)

    async def fail_streaming(request: pb.ExecuteStreamRequest, context: Context) -> Messages:
        if request.HasField("call"):  # always
            raise made(kind)
        yield pb.ExecuteStreamResponse()

    async with two_doors(fail, fail_streaming) as doors:
        expected = facts(await _through_grpc(doors))
        assert facts((await doors.execute()).error) == expected
        assert facts(await _through_grpc_stream(doors)) == expected
        assert facts(await _through_connect_stream(doors)) == expected
        assert facts(await _through_events(doors)) == expected


async def test_details_can_be_read_without_decoding_them() -> None:
    async def fail(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        raise made(errors.Overloaded)

    async with two_doors(fail) as doors:
        answer = await doors.execute()
    assert answer.status == 429
    assert {detail["type"]: detail["debug"] for detail in answer.json["details"]} == {
        "google.rpc.ErrorInfo": {
            "reason": "OVERLOADED",
            "domain": "agentmesh",
            "metadata": {"run_id": "f" * 32, "step_id": "scan"},
        },
        "google.rpc.RetryInfo": {"retryDelay": "1.500s"},
        "google.rpc.QuotaFailure": {
            "violations": [
                {"subject": "budget.llm_calls", "description": "2 of 2 are spent"},
                {"description": "the whole"},
            ]
        },
    }


async def test_a_bug_is_answered_with_a_fixed_text_and_an_incident() -> None:
    async def fail(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        raise ValueError("secret text")

    async with two_doors(fail) as doors:
        answer = await doors.execute()
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert type(answer.error) is errors.Internal
