"""Implementations of the ports, named `<implementation>_<port>.py`. Plain values in; only bootstrap reads config."""
