"""What an operator sees: spans, metrics, logs."""
