"""Agent that measures the machine it runs on and the processes there."""
