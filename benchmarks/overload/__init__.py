"""What the mesh does when it is asked more than it can answer."""
