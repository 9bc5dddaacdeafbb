"""For authors of agents: decorate typed functions, serve them in the mesh."""
