"""gRPC as the mesh uses it: servers, channels, one interceptor a side, the table of errors, JSON in messages.

What is named here is imported when it is first used: a client does not wait for what only servers need (0.2 s).
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentmesh.transport.channel import open_channel
    from agentmesh.transport.client_interceptor import reading
    from agentmesh.transport.server import MeshServer, Service, build_server
    from agentmesh.transport.signals import run_until_signal
    from agentmesh.transport.status import from_rpc_error, from_status, to_status
    from agentmesh.transport.structs import (
        from_struct,
        from_struct_off_loop,
        from_value,
        to_struct,
        to_struct_off_loop,
        to_value,
    )

__all__ = [
    "MeshServer",
    "Service",
    "build_server",
    "from_rpc_error",
    "from_status",
    "from_struct",
    "from_struct_off_loop",
    "from_value",
    "open_channel",
    "reading",
    "run_until_signal",
    "to_status",
    "to_struct",
    "to_struct_off_loop",
    "to_value",
]

_MODULES = {
    "channel": ("open_channel",),
    "client_interceptor": ("reading",),
    "server": ("MeshServer", "Service", "build_server"),
    "signals": ("run_until_signal",),
    "status": ("from_rpc_error", "from_status", "to_status"),
    "structs": (
        "from_struct",
        "from_struct_off_loop",
        "from_value",
        "to_struct",
        "to_struct_off_loop",
        "to_value",
    ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value  # once
    return value
