"""Tests of the three agents that come with the mesh, and of what is measured about them."""
