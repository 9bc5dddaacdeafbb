"""gRPC as the mesh uses it: servers, channels, one interceptor a side, the table of errors, JSON in messages."""

from agentmesh.transport.channel import open_channel
from agentmesh.transport.client_interceptor import reading
from agentmesh.transport.listen import CannotListen
from agentmesh.transport.server import MeshServer, Service, build_server
from agentmesh.transport.signals import run_until_signal
from agentmesh.transport.status import code_of, from_rpc_error, from_status, reason_of, to_status
from agentmesh.transport.structs import (
    from_struct,
    from_struct_off_loop,
    from_value,
    to_struct,
    to_struct_off_loop,
    to_value,
)

__all__ = [
    "CannotListen",
    "MeshServer",
    "Service",
    "build_server",
    "code_of",
    "from_rpc_error",
    "from_status",
    "from_struct",
    "from_struct_off_loop",
    "from_value",
    "open_channel",
    "reading",
    "reason_of",
    "run_until_signal",
    "to_status",
    "to_struct",
    "to_struct_off_loop",
    "to_value",
]
