"""Agent that shows how the components of the mesh are configured, without their secrets."""
