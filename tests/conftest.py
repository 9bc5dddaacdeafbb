"""What holds for every test: only the loopback interface, no settings of the machine, reproducible examples."""

import ipaddress
import os
import signal
import sys

from hypothesis import settings

pytest_plugins = ["tests.llm_fixture", "tests.telemetry.capturing", "tests.telemetry.recording"]

# Settings that would change what the code under test does, or let a child process reach a real provider.
for _name in list(os.environ):
    if _name.startswith(("AGENTMESH_", "OPENAI_", "AZURE_OPENAI_", "OTEL_", "GRPC_")):
        del os.environ[_name]

# The audit hook below does not follow into child processes and does not see the sockets of gRPC's C core; both honour
# these. Nothing listens on port 1.
for _name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"):
    os.environ[_name] = os.environ[_name.upper()] = "http://127.0.0.1:1"
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost,::1"

# A shell that starts this in the background has SIGINT ignored, and processes under test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No time limit an example: the machines that run this are shared. `--hypothesis-profile=explore` draws new examples.
settings.register_profile("explore", deadline=None)
settings.register_profile("reproducible", settings.get_profile("explore"), derandomize=True, database=None)
settings.load_profile("reproducible")


class NetworkForbidden(BaseException):
    """A test tried to leave this machine. Not an `Exception`, so that no handler under test takes it for a failure."""


def _is_local(host: object) -> bool:
    if host is None or host in ("", b"", "localhost", b"localhost"):
        return True
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _forbid_network(event: str, arguments: tuple[object, ...]) -> None:
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # a unix socket has a path
    elif event in {"socket.getaddrinfo", "socket.gethostbyname"}:
        host = arguments[0]
    else:
        return
    if not _is_local(host):
        raise NetworkForbidden(f"{event}: {host!r}")


sys.addaudithook(_forbid_network)
