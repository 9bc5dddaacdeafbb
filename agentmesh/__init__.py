"""The library that every process of the mesh and every client of it installs."""
