"""`python -m agent_svcs.analytics_agent.record`: about five and a half minutes; overwrites the shipped recording."""

import os
import sys

from agentmesh.grpc_core_log import silence

if __name__ == "__main__":
    silence(os.environ)
    from agent_svcs.analytics_agent.record.recorder import main  # after `silence`

    sys.exit(main())
