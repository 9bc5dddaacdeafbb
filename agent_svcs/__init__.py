"""The agents that come with the mesh; each package is a server that runs by itself."""
