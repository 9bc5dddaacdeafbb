"""The use cases of the orchestrator, over ports. `answer` is the architecture on one screen."""
