"""The mesh beside agentic loops: the same agents, the same questions, the same scripted model; `make bench-loop`."""
