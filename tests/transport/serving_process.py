"""A server process for the tests of signals: an Execute waits for a line on standard input.

Prints its address, then what happens, a line each.
"""

import asyncio
import sys

from agentmesh.transport import build_server, run_until_signal
from agentmesh.v1 import agent_service_pb2 as pb
from tests.transport.support import Context, agent_service


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def wait_for_a_line(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
    del context
    say(f"started {request.skill}")
    try:
        await asyncio.to_thread(sys.stdin.readline)
    except asyncio.CancelledError:
        say("cancelled")
        raise
    say("finished")
    return pb.ExecuteResponse()


async def deregister() -> None:
    say("deregistered")


async def main() -> None:
    server = build_server("127.0.0.1:0", [agent_service(wait_for_a_line)])
    await server.start()
    await server.set_serving()
    say(server.address)
    await run_until_signal(server, grace_seconds=30, before_drain=deregister)
    say("stopped")


if __name__ == "__main__":
    asyncio.run(main())
