"""`agentmesh register` against a real orchestrator: an agent that cannot register is listed while the command runs."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from google.protobuf import json_format

from tests.e2e.card_server import serving_card
from tests.e2e.mesh import minds, running_mesh
from tests.e2e.probe import Probe
from tests.e2e.processes import running
from tests.fakes.planner import FixedPlanner


async def test_an_agent_is_listed_from_the_start_of_the_command_to_its_end(tmp_path: Path) -> None:
    card = Probe().agent("silent_agent").card()
    file = tmp_path / "card.json"
    file.write_text(json.dumps(json_format.MessageToDict(card)))
    async with running_mesh(minds=minds(FixedPlanner([]))) as mesh, serving_card(card) as address:
        command = ("register", "--card", str(file), "--address", address, "--orchestrator", mesh.address, "--json")
        async with running("-m", "agentmesh.cli", *command) as process:
            assert process.process.stdout is not None
            lease = json.loads(await process.process.stdout.readline())
            assert len(lease["leaseId"]) == 32
            assert await mesh.agents() == {"silent_agent"}
            assert await process.stop(signal.SIGTERM) == 0
        assert await mesh.agents() == set()


async def test_another_card_than_that_of_the_agent_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "card.json"
    file.write_text(json.dumps(json_format.MessageToDict(Probe().agent("other_agent").card())))
    card = Probe().agent("silent_agent").card()
    async with running_mesh(minds=minds(FixedPlanner([]))) as mesh, serving_card(card) as address:
        command = ("register", "--card", str(file), "--address", address, "--orchestrator", mesh.address)
        async with running("-m", "agentmesh.cli", *command) as process:
            assert await process.ended() == 2
        assert "CARD_MISMATCH" in "".join(process.lines)
        assert await mesh.agents() == set()
