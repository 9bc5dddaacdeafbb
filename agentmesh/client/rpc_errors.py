"""Errors of gRPC's threaded half, in our tree."""

from __future__ import annotations

from typing import cast

import grpc

from agentmesh.errors import MeshError
from agentmesh.transport.status import from_rpc_error


def from_threaded(error: grpc.RpcError, peer: str) -> MeshError:
    """As `from_rpc_error`: the error is put as the asyncio half raises it, so that one table serves both."""
    call = cast("grpc.Call", error)
    same = grpc.aio.AioRpcError(
        code=call.code(),
        # Nobody reads it, and a callback of the call that asked for it might wait for itself.
        initial_metadata=grpc.aio.Metadata(),
        trailing_metadata=grpc.aio.Metadata(*(call.trailing_metadata() or ())),
        details=call.details(),
    )
    return from_rpc_error(same, peer)
