"""`python -m agentmesh.cli` is `agentmesh`."""

import sys

from agentmesh.cli import main

if __name__ == "__main__":
    sys.exit(main())
