"""Addresses, health, reflection, and the orderly end of a server."""

import asyncio
import socket
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import structlog
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from agentmesh import errors
from agentmesh.listen import CannotListen
from agentmesh.transport import build_server, open_channel
from agentmesh.v1 import agent_service_pb2 as pb
from agentmesh.v1 import agent_service_pb2_grpc as pb_grpc
from tests.transport.support import SERVICE, Context, agent_service, call, served

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def health_of(channel: grpc.aio.Channel, service: str) -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    return int(answer.status)


async def test_port_0_gives_a_real_port() -> None:
    async with served() as agent:
        assert agent.server.port > 0
        assert agent.server.address == f"127.0.0.1:{agent.server.port}"
        await agent.stub.Execute(call(), timeout=10)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_loopback_needs_no_permission(host: str) -> None:
    async with served(listen=f"{host}:0") as agent:
        assert agent.server.address == f"{host}:{agent.server.port}"
        await agent.stub.Execute(call(), timeout=10)


async def test_a_taken_port_is_an_error_that_names_the_address() -> None:
    async with served() as agent:
        address = agent.server.address
        with pytest.raises(CannotListen, match=f"cannot listen on {address}: Address already in use"):
            build_server(address, [agent_service()])


async def test_an_address_that_is_not_of_this_machine_is_an_error_that_names_it() -> None:
    with pytest.raises(CannotListen, match=r"cannot listen on 192\.0\.2\.1:0: Can.* assign requested address"):
        build_server("192.0.2.1:0", [agent_service()], allow_plaintext=True)


@pytest.mark.parametrize(
    "listen",
    ["", "127.0.0.1", ":50051", "127.0.0.1:99999", "127.0.0.1:http", "::1:50051", "/run/x", "unix:", "a/b:1", "x:1\n"],
)
async def test_a_malformed_address_is_refused_and_not_guessed(listen: str) -> None:
    with pytest.raises(CannotListen, match="write host:port"):
        build_server(listen, [agent_service()], allow_plaintext=True)


async def test_a_unix_socket_is_served_and_not_taken_over(tmp_path: Path) -> None:
    listen = f"unix:{tmp_path / 'agent.sock'}"
    async with served(listen=listen) as agent:
        assert (agent.server.address, agent.server.port) == (listen, 0)
        await agent.stub.Execute(call(), timeout=10)
        with pytest.raises(CannotListen, match="another process listens there"):
            build_server(listen, [agent_service()])
        await agent.stub.Execute(call(), timeout=10)


async def test_the_socket_of_a_process_that_died_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with served(listen=f"unix:{path}") as agent:
        await agent.stub.Execute(call(), timeout=10)


async def test_a_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    path.write_text("precious")
    with pytest.raises(CannotListen, match="a file that is no socket"):
        build_server(f"unix:{path}", [agent_service()])
    with pytest.raises(CannotListen, match="No such file or directory"):
        build_server(f"unix:{tmp_path / 'none' / 'agent.sock'}", [agent_service()])
    assert path.read_text() == "precious"


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "somewhere.example"])  # noqa: S104 - refused
async def test_an_address_that_others_reach_needs_permission(host: str) -> None:
    with pytest.raises(CannotListen, match="AGENTMESH_ALLOW_PLAINTEXT"):
        build_server(f"{host}:0", [agent_service()])


async def test_with_permission_it_is_a_warning() -> None:
    with structlog.testing.capture_logs() as logs:
        server = build_server("0.0.0.0:0", [agent_service()], allow_plaintext=True)
    assert [(entry["log_level"], entry["address"]) for entry in logs] == [("warning", "0.0.0.0:0")]
    assert server.address.startswith("0.0.0.0:")
    await server.stop()


async def test_health_follows_readiness_for_each_service_and_for_the_whole() -> None:
    server = build_server("127.0.0.1:0", [agent_service()])
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        assert [await health_of(channel, name) for name in (SERVICE, "")] == [NOT_SERVING, NOT_SERVING]
        await server.set_serving(SERVICE)
        assert [await health_of(channel, name) for name in (SERVICE, "")] == [SERVING, SERVING]
        await server.set_not_serving()
        assert [await health_of(channel, name) for name in (SERVICE, "")] == [NOT_SERVING, NOT_SERVING]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_of(channel, "agentmesh.v1.Other")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        with pytest.raises(KeyError):
            await server.set_serving("agentmesh.v1.Other")
    await server.stop()


async def test_a_watcher_hears_of_the_change() -> None:
    async with served() as agent:
        stub: Any = health_pb2_grpc.HealthStub(agent.bare)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=30)
        assert (await watch.read()).status == SERVING
        await agent.server.set_not_serving()
        assert (await watch.read()).status == NOT_SERVING
        watch.cancel()


async def reflected_files(channel: grpc.aio.Channel, **request: str) -> list[descriptor_pb2.FileDescriptorProto]:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(cast("Any", channel))
    stream = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**request)]), timeout=10)  # type: ignore[arg-type]
    answers = [answer async for answer in stream]
    files = answers[0].file_descriptor_response.file_descriptor_proto
    return [descriptor_pb2.FileDescriptorProto.FromString(file) for file in files]


async def test_reflection_lists_the_services() -> None:
    async with served() as agent:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(cast("Any", agent.bare))
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = [answer async for answer in stub.ServerReflectionInfo(iter([request]), timeout=10)]
    names = {service.name for service in answers[0].list_services_response.service}
    assert names == {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


@pytest.mark.parametrize(
    "symbol",
    [
        SERVICE,
        "agentmesh.v1.ExecuteRequest",
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
        "google.rpc.QuotaFailure",
        "google.rpc.RetryInfo",
        "google.rpc.Status",
        "google.protobuf.Struct",
        "buf.validate.FieldRules",
    ],
)
async def test_reflection_describes_requests_and_the_details_of_errors(symbol: str) -> None:
    async with served() as agent:
        files = await reflected_files(agent.bare, file_containing_symbol=symbol)
    package, _, name = symbol.rpartition(".")
    ours = [file for file in files if file.package == package]
    assert name in {m.name for file in ours for m in file.message_type} | {
        s.name for file in ours for s in file.service
    }


class Gate:
    """A handler that answers when the test opens it."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.open = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def execute(self, request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        self.started.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return pb.ExecuteResponse()


async def test_a_draining_server_finishes_what_runs_and_refuses_what_comes() -> None:
    gate = Gate()
    async with served(gate.execute) as agent:
        running = asyncio.ensure_future(agent.stub.Execute(call(), timeout=30))
        await gate.started.wait()
        draining = asyncio.create_task(agent.server.drain(30))
        stub: Any = health_pb2_grpc.HealthStub(agent.bare)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=30)
        while (await watch.read()).status == SERVING:
            pass
        assert await health_of(agent.bare, "") == NOT_SERVING
        with pytest.raises(errors.ShuttingDown) as caught:
            await agent.stub.Execute(call(), timeout=10)
        assert caught.value.transient
        assert agent.server.calls_in_flight == 1
        assert not draining.done()
        await agent.server.set_serving()
        assert await health_of(agent.bare, "") == NOT_SERVING, "draining is for good"
        gate.open.set()
        await running
        await draining
        assert not gate.cancelled.is_set()
        with pytest.raises(errors.Unreachable):
            await agent.stub.Execute(call(), timeout=10)


async def test_after_the_grace_what_still_runs_is_cancelled() -> None:
    gate = Gate()
    async with served(gate.execute) as agent:
        running = asyncio.ensure_future(agent.stub.Execute(call(), timeout=30))
        await gate.started.wait()
        await agent.server.drain(0)
        assert gate.cancelled.is_set()
        with pytest.raises(errors.Unreachable):
            await running


async def test_stopping_cancels_at_once_and_may_be_repeated() -> None:
    gate = Gate()
    async with served(gate.execute) as agent:
        running = asyncio.ensure_future(agent.stub.Execute(call(), timeout=30))
        await gate.started.wait()
        await agent.server.stop()
        await agent.server.stop()
        assert gate.cancelled.is_set()
        with pytest.raises(errors.Unreachable):
            await running


async def test_a_server_that_has_stopped_leaves_its_port_free() -> None:
    async with served() as agent:
        address = agent.server.address
    async with served(listen=address) as again, open_channel(address) as channel:
        assert again.server.address == address
        await pb_grpc.AgentStub(channel).Execute(call(), timeout=10)
