"""The orchestrator: routes a question once, executes the plan, synthesizes one answer."""
