"""`agentmesh register`: an endpoint is listed, and stays so for as long as this command runs."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

from agentmesh import errors
from agentmesh.cards import MAX_CARD_BYTES
from agentmesh.cli.documents import read_document, where_of
from agentmesh.cli.exits import CommandFailed, ExitCode
from agentmesh.cli.options import Target
from agentmesh.cli.output import Output, open_output, visible
from agentmesh.client import Lease, MeshClient
from agentmesh.client.wire_json import message_json
from agentmesh.errors import MeshError
from agentmesh.jsonvalues import JsonObject

_MAX_FILE_BYTES: Final = 4 * MAX_CARD_BYTES
"""White space and field names weigh nothing in the message."""
_ADVICE: Final = (
    'a card is {"name": "...", "version": "1.0.0", "skills": [{"name": "...", "description": "...",'
    ' "effect": "EFFECT_READ_ONLY"}]}, in JSON or YAML'
)
_AGAIN_SECONDS: Final = 1.0
"""After a heartbeat that failed; a lease outlasts two that were missed."""
_LEAVE_SECONDS: Final = 2.0


def register(
    target: Target,
    *,
    card_file: str,
    address: str,
    ttl_seconds: float | None,
    once: bool,
    as_json: bool,
    timeout_seconds: float | None,
) -> None:
    card = _read_card(card_file)
    output = open_output()

    def show(lease: Lease) -> None:
        if as_json:
            output.json_line(message_json(lease.wire))
        else:
            _show(output, lease, address)

    with MeshClient(target.address, token=target.token) as mesh:
        keeper = _Keeper(
            mesh, lambda: mesh.register(card, address, ttl_seconds=ttl_seconds, timeout_seconds=timeout_seconds), show
        )
        if once:
            keeper.register()
            return
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        try:
            keeper.register()
            if not as_json:
                output.line(("registered until Ctrl-C", "dim"))
            keeper.keep(timeout_seconds)
        except KeyboardInterrupt:
            keeper.leave()
    if not as_json:
        output.line("deregistered")


class _Keeper:
    """Has the lease of one endpoint.

    Args:
        mesh: Where it is registered.
        lease_of_endpoint: Registers it.
        show: Told of each lease.
    """

    def __init__(self, mesh: MeshClient, lease_of_endpoint: Callable[[], Lease], show: Callable[[Lease], None]) -> None:
        self._mesh = mesh
        self._lease_of_endpoint = lease_of_endpoint
        self._show = show
        self._lease: Lease | None = None

    def register(self) -> Lease:
        self._lease = lease = self._lease_of_endpoint()
        self._show(lease)
        return lease

    def keep(self, timeout_seconds: float | None) -> NoReturn:
        """Send heartbeats until a signal."""
        assert self._lease is not None
        pause = self._lease.heartbeat_seconds
        while True:
            time.sleep(pause)
            try:
                self._mesh.heartbeat(self._lease.id, timeout_seconds=timeout_seconds)
            except errors.LeaseNotFound as gone:
                _note(gone)
                pause = self._again(pause)
            except MeshError as error:
                _note(error)
                pause = min(_AGAIN_SECONDS, self._lease.heartbeat_seconds)
            else:
                pause = self._lease.heartbeat_seconds

    def leave(self) -> None:
        """Give the lease back; where that fails it ends by itself."""
        if self._lease is not None:
            with suppress(MeshError):
                self._mesh.deregister(self._lease.id, timeout_seconds=_LEAVE_SECONDS)

    def _again(self, pause: float) -> float:
        """Register once more, and return the seconds to the next heartbeat.

        Where that fails for now it is one of the lease that is gone, which will say so again.
        """
        try:
            return self.register().heartbeat_seconds
        except MeshError as error:
            if not error.transient:
                raise
            _note(error)
            return min(_AGAIN_SECONDS, pause)


def _read_card(name: str) -> JsonObject:
    """A document with a `card` in it, as `agentmesh agents show --json` has them, gives that."""
    document = read_document(name, max_bytes=_MAX_FILE_BYTES, advice=_ADVICE)
    if isinstance(document, dict) and "name" not in document and isinstance(document.get("card"), dict):
        document = document["card"]
    if not isinstance(document, dict):
        raise CommandFailed(f"{where_of(name)} holds no card", advice=_ADVICE, code=ExitCode.USAGE)
    return document


def _show(output: Output, lease: Lease, address: str) -> None:
    output.line(("lease     ", "bold"), lease.id)
    output.line(("address   ", "bold"), address)
    output.line(("ttl       ", "bold"), f"{lease.ttl_seconds:g} s")
    output.line(("heartbeat ", "bold"), f"every {lease.heartbeat_seconds:g} s")


def _note(error: MeshError) -> None:
    sys.stderr.write(visible(f"warning: {error.message}; trying again") + "\n")
