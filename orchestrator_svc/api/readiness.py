"""Health tells the truth: Orchestrator is SERVING while there is an agent to ask, Registry as long as it runs."""

from __future__ import annotations

from agentmesh.errors import Reason
from agentmesh.transport import MeshServer
from orchestrator_svc.app.catalogs import Catalogs

ORCHESTRATOR = "agentmesh.v1.Orchestrator"
REGISTRY = "agentmesh.v1.Registry"


async def keep_health(server: MeshServer, catalogs: Catalogs) -> None:
    """Set the health of the server whenever the catalog becomes empty or stops being so; runs until it is cancelled."""
    await server.set_serving(REGISTRY)
    while True:
        catalog = catalogs.known()
        if catalog:
            await server.set_serving(ORCHESTRATOR)
        else:
            await server.set_not_serving(ORCHESTRATOR)
        await catalogs.changed(catalog)


def why_not_ready(server: MeshServer) -> Reason | None:
    """Say in a word why the health of Orchestrator is not SERVING; None if it is."""
    if server.draining:
        return Reason.SHUTTING_DOWN
    return None if server.is_serving(ORCHESTRATOR) else Reason.CATALOG_EMPTY
