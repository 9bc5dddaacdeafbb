"""Agent that keeps a history of the mesh's metrics and says what is unusual in it."""
